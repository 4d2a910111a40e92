"""`%supabase_sign_in` and `%supabase_set_auth`: signing in without a secret in any cell."""

from __future__ import annotations

import argparse
import builtins
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..tokens import Secret
from . import arguments, prompts
from .arguments import MagicParser, SupabaseUsageError
from .commands import name_argument
from .scope import Scope

if TYPE_CHECKING:
    from ..auth import AuthClient
    from ..models import AuthResponse, Session
    from .magics import SupabaseMagics


def _sign_in_arguments(parser: MagicParser) -> None:
    name_argument(parser)
    parser.add_argument("who", nargs="?", metavar="EMAIL", help="e-mail address or phone number; asked for")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--code", action="store_true", help="have a one-time code sent instead of a password")
    how.add_argument("--provider", metavar="P", help="sign in with a provider, such as github")
    how.add_argument("--link", action="store_true", help="with the address that a link led to")
    how.add_argument("--anonymous", action="store_true", help="as a new user without a name")


def _sign_in(magics: SupabaseMagics, given: argparse.Namespace) -> AuthResponse:
    """Sign in. Password, code or address are asked for and not shown; never write them behind the magic.

    Whoever is signed in already is not asked again: run the notebook again tomorrow, and it goes on.

    For example:

        %supabase_sign_in ada@example.com
    """
    client = magics.client(given)
    auth, who = client.auth, _who(given.variables, given.who)
    session = auth.get_session()
    if session is not None and _is_wanted(session, who, given):
        from ..models import AuthResponse

        response = AuthResponse(session.user, session)
    elif given.anonymous:
        response = auth.sign_in_anonymously()
    elif given.link:
        response = auth.sign_in_with_url(ask("The address the link led to (not shown): "))
    elif given.provider:
        print(f"Open this in a browser and sign in:\n{auth.get_oauth_url(given.provider)}")  # noqa: T201
        response = auth.sign_in_with_url(ask("The address you were sent back to (not shown): "))
    else:
        response = _with_identifier(auth, who or _ask_who(), code=given.code)
    magics.show(client)
    return response


def _with_identifier(auth: AuthClient, who: str, *, code: bool) -> AuthResponse:
    identifier = {"email" if "@" in who else "phone": who}
    if not code:
        return auth.sign_in_with_password(identifier, password=ask("Password (not shown): "))
    auth.sign_in_with_otp(identifier)
    from ..models import mask_email

    shown = mask_email(who) if "@" in who else who[-3:].rjust(6, "•")
    print(f"Sent to {shown}. It holds a code, a link, or both.")  # noqa: T201
    answer = ask("The code, or the address the link led to (not shown): ")
    if "://" in answer.reveal():
        return auth.sign_in_with_url(answer)
    return auth.verify_otp(identifier, token=answer)


def _is_wanted(session: Session, who: str | None, given: argparse.Namespace) -> bool:
    """Whether the session in force is the one that is asked for."""
    user = session.user
    if given.link:
        return False
    if given.anonymous:
        return user.is_anonymous
    if given.provider:
        return bool(user.app_metadata.get("provider") == given.provider)
    known = {value.lower().lstrip("+") for value in (user.email, user.phone) if value}
    return not user.is_anonymous if who is None else who.lower().lstrip("+") in known


def _who(scope: Scope, word: str | None) -> str | None:
    """An address or number may be written as it is, or be named like any other value."""
    if word is None:
        return None
    plain = word.strip("\"'")
    if "@" in plain or plain.lstrip("+").isdigit():
        return plain
    return arguments.resolve_text(word, scope, what="the e-mail address").reveal().strip()


def _ask_who() -> str:
    """Ask visibly; whoever asks unseen for the password next says whether there is anybody to ask."""
    if prompts.prompt() is None:
        raise _nobody()
    try:
        who = builtins.input("E-mail address: ").strip()
    except EOFError:
        who = ""
    if not who:
        raise SupabaseUsageError("Nothing was given. Run %supabase_sign_in again, with the e-mail address.")
    return who


def ask(question: str) -> Secret:
    """Ask for something that is not shown while it is typed, nor kept.

    Raises:
        SupabaseUsageError: There is nobody to ask, or nothing was answered.
    """
    asking = prompts.prompt()
    if asking is None:
        raise _nobody()
    try:
        answer = Secret(asking(question))
    except EOFError:
        answer = Secret("")
    if not answer:
        raise SupabaseUsageError("Nothing was given. Run %supabase_sign_in again.")
    return answer


def _nobody() -> SupabaseUsageError:
    return SupabaseUsageError(
        "Nobody can be asked here. Run this cell by hand first: the session is stored, and found next time."
    )


def _set_auth_arguments(parser: MagicParser) -> None:
    name_argument(parser)
    parser.add_argument("token", metavar="token", help="an access token; None: the session's again")


def _set_auth(magics: SupabaseMagics, given: argparse.Namespace) -> None:
    """Send requests with another access token than the session's; the session is kept beside it.

    For example:

        %supabase_set_auth other_token
        %supabase_set_auth None
    """
    client = magics.client(given)
    if given.token == "None":
        client.set_auth(None)
    else:
        token = arguments.resolve_text(given.token, given.variables, what="the access token")
        client.set_auth(token)
    magics.show(client)


WAYS_IN: dict[str, tuple[Callable[[MagicParser], object], Callable[..., Any]]] = {
    "supabase_sign_in": (_sign_in_arguments, _sign_in),
    "supabase_set_auth": (_set_auth_arguments, _set_auth),
}
