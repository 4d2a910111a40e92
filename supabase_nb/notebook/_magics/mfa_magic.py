"""`%supabase_mfa`: verifies the code of an authenticator app, or adds an app."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ...errors import AuthApiError, AuthError
from .._usage_error import SupabaseUsageError
from .._variables import argument_values
from ..text import grouped
from . import prompts
from .magic_parser import MagicParser
from .session_magics import add_name_argument

if TYPE_CHECKING:
    from ...auth import AuthClient
    from ...models import AuthMFAVerifyResponse, Factor
    from .registration import SupabaseMagics

_MAX_ATTEMPTS = 3
_MAGIC = "%supabase_mfa"


def add_arguments(parser: MagicParser) -> None:
    """The arguments of `%supabase_mfa`."""
    add_name_argument(parser)
    parser.add_argument(
        "factor", nargs="?", metavar="FACTOR", help="name of the authenticator app, if you have several"
    )
    parser.add_argument("--enroll", action="store_true", help="add an authenticator app, by a QR code")


def verify(magics: SupabaseMagics, args: argparse.Namespace) -> AuthMFAVerifyResponse | None:
    """Verify your second factor with the six-digit code of your authenticator app.

    This raises the session to aal2 and ends your other sessions that are at aal1. If the session is already
    at aal2, nothing happens.

    For example:

        %supabase_mfa
        %supabase_mfa --enroll "my phone"
    """
    client = magics.select_client(args)
    auth, name = client.auth, _factor_name(args)
    if args.enroll:
        response: AuthMFAVerifyResponse | None = _enroll(auth, name)
    elif auth.mfa.get_authenticator_assurance_level().current_level == "aal2":
        response = None
    else:
        response = _verify(auth, _factor(auth, name).id)
    magics.show(client)
    return response


def _factor_name(args: argparse.Namespace) -> str | None:
    """The factor's name: the value of the variable with this name, or the word itself."""
    word: str | None = args.factor
    if word is None:
        return None
    quoted = word[:1] in ("'", '"')
    if not quoted and argument_values.is_name(word) and word in args.variables:
        return argument_values.resolve_text(word, args.variables, what="the factor's name").reveal()
    return word.strip("\"'")


def _factor(auth: AuthClient, name: str | None) -> Factor:
    """The verified factor with this name, or the only one.

    Raises:
        SupabaseUsageError: There is none, or several to choose from.
    """
    factors = auth.mfa.list_factors().totp
    names = ", ".join(factor.friendly_name or "(without a name)" for factor in factors)
    if not factors:
        raise SupabaseUsageError(f"There is no authenticator app yet. Run {_MAGIC} --enroll to add one.")
    if name is None and len(factors) == 1:
        return factors[0]
    if name is None:
        raise SupabaseUsageError(f"There are several authenticator apps: {names}. Choose one: {_MAGIC} NAME")
    found = next((factor for factor in factors if factor.friendly_name == name), None)
    if found is None:
        raise SupabaseUsageError(f"There is no authenticator app with that name. Choose one of: {names}.")
    return found


def _verify(auth: AuthClient, factor_id: str) -> AuthMFAVerifyResponse:
    """Ask for a code, up to three times."""
    for left in reversed(range(_MAX_ATTEMPTS)):
        code = prompts.ask("Six-digit code of your authenticator app (not shown): ", _MAGIC)
        try:
            response = auth.mfa.challenge_and_verify(factor_id=factor_id, code=code)
        except AuthApiError as error:
            if error.code != "mfa_verification_failed" or not left:
                raise
            print(error.message)  # noqa: T201
        else:
            print("Verified: this session is at aal2. Your other sessions at aal1 have ended.")  # noqa: T201
            return response
    raise AssertionError("unreachable")


def _enroll(auth: AuthClient, name: str | None) -> AuthMFAVerifyResponse:
    if prompts.get_prompt() is None:
        raise prompts.no_input_error()
    show = _qr_code_display()
    factor = auth.mfa.enroll(factor_type="totp", friendly_name=name)
    assert factor.totp is not None
    hide = show(factor.totp)
    done = False
    try:
        response = _verify(auth, factor.id)
        done = True
    finally:
        hide(done)
        if not done:
            _remove_unverified(auth, factor.id)
    return response


def _remove_unverified(auth: AuthClient, factor_id: str) -> None:
    """Remove a factor that was not verified. The next attempt creates a new one."""
    with suppress(AuthError):  # an unverified factor is harmless, and is removed when another is verified
        auth.mfa.unenroll(factor_id=factor_id)


def _qr_code_display() -> Callable[[Any], Callable[[bool], None]]:
    """A function that shows a QR code without saving it.

    Raises:
        SupabaseUsageError: This front end can't do that.
    """
    from .._displays.publishing import in_terminal

    if in_terminal():
        return _print_qr_code
    if not prompts.can_show_form():
        raise SupabaseUsageError(
            "The QR code can't be shown here without being saved. Install anywidget, or run "
            f"{_MAGIC} --enroll in a terminal (ipython)."
        )
    from .._displays.enrollment import show_enrollment

    return show_enrollment


def _print_qr_code(totp: Any) -> Callable[[bool], None]:
    """In a terminal: the key, and if segno is installed, the QR code."""
    shown = io.StringIO()
    try:
        import segno
    except ImportError:
        pass
    else:
        segno.make(totp.uri).terminal(out=shown, compact=True)
    shown.write(f"Add this key to your authenticator app: {grouped(totp.secret)}\n")
    # IPython replaces `sys.stdout.write` to record outputs, which %notebook saves. The class's method isn't.
    type(sys.stdout).write(sys.stdout, shown.getvalue())
    sys.stdout.flush()
    return lambda done: None
