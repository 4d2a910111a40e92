"""`%supabase_connect` and the magics for its session: their arguments, and what they do."""

from __future__ import annotations

import argparse
import logging
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ..._network.urls import is_this_machine
from ..._runtime.environment import IN_BROWSER, on_binder
from ..._secrets.credential_checks import refuse_key_for_token
from ..._secrets.tokens import Secret, is_jwt
from ...errors import AuthError
from .._usage_error import SupabaseUsageError
from .._variables import argument_values
from .._variables.calling_scope import DEFAULT_NAME, Scope
from .._variables.token_extraction import has_no_session, to_secret, token_pair
from ..text import WORDS
from . import prompts
from .magic_parser import MagicParser

if TYPE_CHECKING:
    from ...client import Client
    from ...models import AuthResponse, Session
    from .registration import SupabaseMagics

logger = logging.getLogger("supabase_nb")

STORAGES = ("file", "memory", "keyring")


def add_name_argument(parser: MagicParser) -> None:
    """Add ``--name``, which selects the client."""
    parser.add_argument(
        "--name", metavar="N", help=f"variable that holds the client (default: {DEFAULT_NAME})"
    )


def _add_connect_arguments(parser: MagicParser) -> None:
    add_name_argument(parser)
    parser.add_argument("url", nargs="?", metavar="URL", help="the project's URL (default: SUPABASE_URL)")
    parser.add_argument("--key", metavar="K", help="its publishable (anon) key (default: SUPABASE_KEY, …)")
    parser.add_argument("--auth-url", metavar="U", help="the auth server's address, if not URL/auth/v1")
    parser.add_argument(
        "--storage",
        choices=STORAGES,
        help="where the session is stored (default: file; on Binder and in a browser: memory)",
    )
    parser.add_argument(
        "--demo", action="store_true", help="use a small auth server on this machine instead of a project"
    )
    parser.add_argument(
        "--allow-secret-key",
        action="store_true",
        help="accept a service-role or secret key, which bypasses Row Level Security",
    )
    parser.add_argument(
        "--allow-http",
        action="store_true",
        help="accept an http:// URL of another machine, although tokens are sent unencrypted",
    )


def _connect(magics: SupabaseMagics, args: argparse.Namespace) -> Client:
    """Connect to a Supabase project, and assign its client to the variable `supabase`.

    For example:

        %supabase_connect https://abcd.supabase.co --key $SUPABASE_KEY
    """
    name = args.name or DEFAULT_NAME
    if not argument_values.is_name(name):
        raise SupabaseUsageError("--name must be a valid variable name: letters, digits and underscores.")
    storage = _storage_kind(args.storage)
    url, key, auth_url = args.url, args.key, args.auth_url
    namespace = magics.shell.user_ns
    if args.demo:
        if url or key or auth_url:
            raise SupabaseUsageError("--demo has its own URL and key. Leave out yours.")
        from ...demo import ensure_server

        server = ensure_server()
        url, key, auth_url = server.url, server.anon_key, server.auth_url
    else:
        url, auth_url = (_resolve_url(args.variables, word) for word in (url, auth_url))
        key = _resolve_key(args.variables, key)
    from ...client._project_lookup import resolve_project

    project = resolve_project(url, key, auth_url=auth_url, allow_secret_key=args.allow_secret_key)
    if project.origin:
        print(f"{project.url} ({project.origin})")  # noqa: T201
    settings = (project.url, Secret(project.key), project.auth_url, storage)
    connection = magics.connections.get(name)
    if (
        connection is None
        or connection.client.closed
        or connection.settings != settings
        or namespace.get(name) is not connection.client
    ):
        allowed = {option: True for option in ("allow_secret_key", "allow_http") if getattr(args, option)}
        if not args.allow_http and _is_local_http(project.url):
            allowed["allow_http"] = True
            print(f"The connection to {project.url} is not encrypted. This is fine between containers.")  # noqa: T201
        client = _make_client(project.url, project.key, project.auth_url, storage, name, **allowed)
        if connection is None and name in namespace:
            print(f"The variable `{name}` had another value. It now holds the client.")  # noqa: T201
        magics.connect(name, client, settings)
    else:
        client = connection.client
    if on_binder():
        client.auth.set_notice("binder", WORDS["notice.binder"])
    if IN_BROWSER and storage == "file":
        client.auth.set_notice("browser", WORDS["notice.browser"])
    _restore(client)
    magics.show(client)
    return client


def _is_local_http(url: str) -> bool:
    """Whether this is plain HTTP to a host name without a dot, such as a container's. None is public."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return (
        parts.scheme == "http"
        and re.fullmatch(r"[a-z][a-z0-9_-]*", host) is not None
        and not is_this_machine(host)
    )


def _storage_kind(requested: str | None) -> str:
    """The kind of storage. On Binder, only memory."""
    if IN_BROWSER and requested == "keyring":
        raise SupabaseUsageError("A browser has no keyring. Leave out --storage, or use --storage file.")
    if not on_binder():
        return requested or ("memory" if IN_BROWSER else "file")
    if requested not in (None, "memory"):
        raise SupabaseUsageError("On Binder, sessions are kept in memory only. Leave out --storage.")
    return "memory"


def _resolve_url(scope: Scope, word: str | None) -> str | None:
    """An address, written literally or as a reference."""
    if word is None:
        return None
    text = argument_values.unquote(word) or word
    if "://" in text:
        return text
    if "$" in text or "{" in text or "[" in text or argument_values.is_reference(text, scope):
        return argument_values.resolve_text(word, scope, what="the URL").reveal()
    return text


def _resolve_key(scope: Scope, word: str | None) -> str | None:
    if word is None:
        return None
    return argument_values.resolve_text(word, scope, what="the project's key").reveal()


def _make_client(url: str, key: str, auth_url: str | None, storage: str, name: str, **allowed: Any) -> Client:
    from ...storage import FileStorage, KeyringStorage, MemoryStorage
    from ..client_with_displays import NotebookClient

    kinds = {"file": FileStorage, "memory": MemoryStorage, "keyring": KeyringStorage}
    return NotebookClient(
        url,
        key,
        auth_url=auth_url,
        storage=kinds[storage](),
        name="" if name == DEFAULT_NAME else name,
        **allowed,
    )


def _restore(client: Client) -> None:
    """Resume the stored session, if there is one. The panel shows a permanent failure."""
    from ...errors import AuthRetryableError, AuthStorageError

    try:
        client.auth.get_session()
    except AuthStorageError:
        raise
    except AuthRetryableError as error:
        logger.info("the stored session is not confirmed yet: %s", error)
    except AuthError as error:
        logger.info("the stored session could not be resumed: %s", error)


def _add_set_session_arguments(parser: MagicParser) -> None:
    add_name_argument(parser)
    parser.add_argument("tokens", nargs="*", metavar="at rt", help="the access token and the refresh token")
    parser.add_argument("--prompt", action="store_true", help="ask with hidden prompts instead of a form")


def _set_session(magics: SupabaseMagics, args: argparse.Namespace) -> AuthResponse | None:
    """Restore a session from its access token and refresh token.

    Pass two variables, or one that contains both tokens. Without arguments, a form opens, or
    in a terminal, hidden prompts.

    For example:

        %supabase_set_session at rt
        %supabase_set_session response.session
    """
    client = magics.select_client(args)
    words = argument_values.strip_keywords(args.tokens)
    scope: Scope = args.variables
    if not words:
        return _ask_for_tokens(magics, client, prompt=args.prompt)
    if len(words) == 1:
        access_token, refresh_token = _whole_session(words[0], scope)
    elif len(words) == 2:
        access_token = argument_values.resolve_text(words[0], scope, what="the access token")
        if is_jwt(Secret(words[0])) and argument_values.is_name(words[1]) and words[1] not in scope:
            words[1] = f'"{words[1]}"'  # a bare refresh token after a bare access token
        refresh_token = argument_values.resolve_text(words[1], scope, what="the refresh token")
    else:
        raise SupabaseUsageError("Too many arguments. Pass two: %supabase_set_session at rt")
    refuse_key_for_token(access_token, "access token")
    refuse_key_for_token(refresh_token, "refresh token")
    response = client.auth.set_session(access_token, refresh_token)
    magics.show(client)
    return response


def _whole_session(word: str, scope: Scope) -> tuple[Secret, Secret]:
    """Both tokens from one argument.

    Raises:
        SupabaseUsageError: It doesn't contain both.
    """
    items = word[1:-1] if word.startswith("(") else ""
    if items:  # (at, rt)
        words = argument_values.split(items)
        if len(words) == 2:
            first, second = (argument_values.resolve_text(w, scope, what="the token") for w in words)
            return first, second
    value = argument_values.resolve(word, scope, what="the access token")
    pair = token_pair(value)
    if pair is None and (text := to_secret(value)) is not None:
        refuse_key_for_token(text, "access token")
        from .._paste.paste import read_paste  # imported only if needed, so that `%load_ext` is fast

        pair = read_paste(text)
    if pair is not None and pair[1]:
        return pair
    if has_no_session(value):
        raise SupabaseUsageError(
            f"{argument_values.label(word)} contains no session: its session is None. Sign in first "
            "(after a sign-up, confirm the address first)."
        )
    raise SupabaseUsageError(
        "Pass both tokens: %supabase_set_session at rt (or one variable that contains a session)."
    )


def _ask_for_tokens(magics: SupabaseMagics, client: Client, *, prompt: bool) -> AuthResponse | None:
    """Ask with a form if there is a browser, otherwise with hidden prompts."""
    if not prompt and prompts.can_show_form():
        magics.show(client, open_form=True)
        return None
    response = client.auth.set_session(*prompts.ask_for_tokens())
    magics.show(client)
    return response


def _session(magics: SupabaseMagics, args: argparse.Namespace) -> Session | None:
    """Show the session: its status, user and next refresh.

    For example:

        %supabase_session
    """
    client = magics.select_client(args)
    magics.show(client, always_panel=True)
    return client.auth.session


def _refresh(magics: SupabaseMagics, args: argparse.Namespace) -> AuthResponse:
    """Refresh the session now, instead of shortly before the access token expires.

    For example:

        %supabase_refresh
    """
    client = magics.select_client(args)
    response = client.auth.refresh_session()
    magics.show(client)
    return response


def _add_sign_out_arguments(parser: MagicParser) -> None:
    add_name_argument(parser)
    parser.add_argument(
        "--scope",
        choices=("local", "global", "others"),
        default="local",
        help="local: this session (default); global: all of the user's; others: all except this one",
    )


def _sign_out(magics: SupabaseMagics, args: argparse.Namespace) -> None:
    """Sign out of this session, or of all of the user's sessions.

    For example:

        %supabase_sign_out --scope global
    """
    client = magics.select_client(args)
    client.auth.sign_out(scope=args.scope)
    magics.show(client)


def _add_debug_arguments(parser: MagicParser) -> None:
    parser.add_argument(
        "state",
        choices=("on", "off"),
        help="on: show errors with their traceback; off: only their message (default)",
    )


def _debug(magics: SupabaseMagics, args: argparse.Namespace) -> None:
    """Show errors with their traceback (without tokens), or only their message.

    For example:

        %supabase_debug on
    """
    AuthError.show_traceback = args.state == "on"


COMMANDS: dict[str, tuple[Callable[[MagicParser], object], Callable[..., Any]]] = {
    "supabase_connect": (_add_connect_arguments, _connect),
    "supabase_set_session": (_add_set_session_arguments, _set_session),
    "supabase_session": (add_name_argument, _session),
    "supabase_refresh": (add_name_argument, _refresh),
    "supabase_sign_out": (_add_sign_out_arguments, _sign_out),
    "supabase_debug": (_add_debug_arguments, _debug),
}
