"""`%supabase_sign_in` and `%supabase_set_auth`: signing in without secrets in cells."""

from __future__ import annotations

import argparse
import builtins
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from IPython.core.getipython import get_ipython

from ..._runtime.environment import IN_BROWSER
from .._sign_in.code_sign_in import email_or_phone, sign_in_with_code
from .._usage_error import SupabaseUsageError
from .._variables import argument_values
from .._variables.calling_scope import Scope
from ..text import word
from . import mfa_magic, prompts
from .magic_parser import MagicParser
from .session_magics import add_name_argument

if TYPE_CHECKING:
    from ...auth import AuthClient
    from ...auth._browser_sign_in import BrowserSignIn
    from ...models import AuthResponse, Session
    from .registration import SupabaseMagics


def _add_sign_in_arguments(parser: MagicParser) -> None:
    add_name_argument(parser)
    parser.add_argument("who", nargs="?", metavar="EMAIL", help="email address or phone number")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--code", action="store_true", help="sign in with a one-time code, sent to you")
    how.add_argument("--provider", metavar="P", help="sign in with a provider, such as github")
    how.add_argument("--oauth", action="store_true", help="sign in with the project's own OAuth 2.1 server")
    how.add_argument(
        "--link", action="store_true", help="sign in with the URL of the page that a link opened"
    )
    how.add_argument("--anonymous", action="store_true", help="sign in as a new anonymous user")
    parser.add_argument("--client-id", metavar="ID", help="with --oauth: the ID of a registered client")
    parser.add_argument(
        "--paste",
        action="store_true",
        help="print the URL to open, and ask for the URL that you end up on",
    )


def _sign_in(magics: SupabaseMagics, args: argparse.Namespace) -> AuthResponse | None:
    """Sign in. Asks for the password, code or URL in a hidden prompt, so don't write it in the cell.

    In a notebook, --provider opens the panel's form, where you complete the sign-in.

    If you are already signed in, it doesn't ask again, so you can run the whole notebook again.

    For example:

        %supabase_sign_in ada@example.com
    """
    client = magics.select_client(args)
    auth, who = client.auth, _resolve_identifier(args.variables, args.who)
    session = auth.get_session()
    if session is not None and _matches_request(session, who, args):
        from ...models import AuthResponse

        response = AuthResponse(session.user, session)
    elif args.anonymous:
        response = auth.sign_in_anonymously()
    elif args.link:
        response = auth.sign_in_with_url(prompts.ask("URL of the page that the link opened (not shown): "))
    elif args.provider and not args.paste and _is_interactive_notebook():
        magics.show(client, open_form=True, provider=args.provider)
        return None
    elif args.provider or args.oauth:
        response = _in_browser(auth, args)
    else:
        response = _with_identifier(auth, who or _ask_for_email(), code=args.code)
    magics.show(client)
    return response


def _in_browser(auth: AuthClient, args: argparse.Namespace) -> AuthResponse:
    """Sign in with a browser, which returns to this machine, or whose final URL is pasted."""
    if IN_BROWSER:
        raise SupabaseUsageError(
            "A sign-in page can't return to a notebook that runs in the browser. Run %supabase_sign_in EMAIL "
            "instead, with --code for a one-time code."
        )
    import webbrowser

    from .._sign_in.loopback_listener import LoopbackListener

    with LoopbackListener() as listener:
        sign_in = _start_sign_in(auth, args, listener.address)
        listener.finish = sign_in.finish
        if not args.paste and _has_browser() and webbrowser.open(sign_in.url):
            print(word("browser.open", provider=args.provider or auth.url, url=sign_in.url))  # noqa: T201
            print(word("browser.wait"))  # noqa: T201
            return listener.wait()
        print(word("browser.visit", url=sign_in.url))  # noqa: T201
        try:
            address = prompts.ask(word("browser.prompt"))
        except SupabaseUsageError:
            if listener.ended:  # the browser is on this machine after all, and the user pressed Enter
                return listener.wait()
            raise
        return sign_in.finish(address)


def _start_sign_in(auth: AuthClient, args: argparse.Namespace, redirect_to: str) -> BrowserSignIn:
    from ...auth._browser_sign_in import begin_with_oauth_server, begin_with_provider

    if args.oauth:
        return begin_with_oauth_server(auth, redirect_to, client_id=args.client_id)
    return begin_with_provider(auth, args.provider, redirect_to)


def _is_interactive_notebook() -> bool:
    """Whether a user works in this notebook, instead of a tool that runs it (papermill)."""
    return prompts.can_show_form() and prompts.get_prompt() is not None


def _has_browser() -> bool:
    """Whether the user can see a browser that opens here: not on a notebook server or over SSH."""
    in_kernel = getattr(get_ipython(), "kernel", None) is not None
    return not in_kernel and "SSH_CONNECTION" not in os.environ


def _with_identifier(auth: AuthClient, who: str, *, code: bool) -> AuthResponse:
    identifier = email_or_phone(who)
    if not code:
        return auth.sign_in_with_password(identifier, password=prompts.ask("Password (not shown): "))
    auth.sign_in_with_otp(identifier)
    from ...models import mask_email

    shown = mask_email(who) if "@" in who else who[-3:].rjust(6, "•")
    print(f"Sent to {shown}. The message contains a code, a link, or both.")  # noqa: T201
    answer = prompts.ask("Code, or URL of the page that the link opened (not shown): ")
    return sign_in_with_code(auth, identifier, answer)


def _matches_request(session: Session, who: str | None, args: argparse.Namespace) -> bool:
    """Whether the current session is the requested one."""
    user = session.user
    if args.link:
        return False
    if args.anonymous:
        return user.is_anonymous
    if args.oauth:
        return "client_id" in session.claims
    if args.provider:
        return bool(user.app_metadata.get("provider") == args.provider)
    known = {value.lower().lstrip("+") for value in (user.email, user.phone) if value}
    return not user.is_anonymous if who is None else who.lower().lstrip("+") in known


def _resolve_identifier(scope: Scope, word: str | None) -> str | None:
    """An address or phone number, written literally or as a reference."""
    if word is None:
        return None
    plain = word.strip("\"'")
    if "@" in plain or plain.lstrip("+").isdigit():
        return plain
    return argument_values.resolve_text(word, scope, what="the email address").reveal().strip()


def _ask_for_email() -> str:
    """Ask for the email address in a visible prompt."""
    if prompts.get_prompt() is None:
        raise prompts.no_input_error()
    try:
        who = builtins.input("Email address: ").strip()
    except EOFError:
        who = ""
    if not who:
        raise SupabaseUsageError("No email address was entered. Run %supabase_sign_in again.")
    return who


def _add_set_auth_arguments(parser: MagicParser) -> None:
    add_name_argument(parser)
    parser.add_argument("token", metavar="token", help="an access token; None: use the session's token again")


def _set_auth(magics: SupabaseMagics, args: argparse.Namespace) -> None:
    """Send requests with another access token. The session doesn't change.

    For example:

        %supabase_set_auth other_token
        %supabase_set_auth None
    """
    client = magics.select_client(args)
    if args.token == "None":
        client.set_auth(None)
    else:
        token = argument_values.resolve_text(args.token, args.variables, what="the access token")
        client.set_auth(token)
    magics.show(client)


SIGN_IN_COMMANDS: dict[str, tuple[Callable[[MagicParser], object], Callable[..., Any]]] = {
    "supabase_sign_in": (_add_sign_in_arguments, _sign_in),
    "supabase_mfa": (mfa_magic.add_arguments, mfa_magic.verify),
    "supabase_set_auth": (_add_set_auth_arguments, _set_auth),
}
