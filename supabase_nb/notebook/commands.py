"""The magics, one by one: what they take and what they do."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..binder import on_binder
from ..connect import resolve_project
from ..errors import AuthError
from ..tokens import Secret, is_jwt
from . import arguments, prompts
from .arguments import MagicParser, SupabaseUsageError
from .magics import DEFAULT_NAME, Connection, SupabaseMagics
from .paste import read_paste
from .text import WORDS

if TYPE_CHECKING:
    from ..client import Client
    from ..models import AuthResponse, Session

logger = logging.getLogger("supabase_nb")

STORAGES = ("file", "memory", "keyring")


def name_argument(parser: MagicParser) -> None:
    """Let a magic say which client it acts on."""
    parser.add_argument(
        "--name", metavar="N", help=f"which client, where there are several: a variable ({DEFAULT_NAME})"
    )


def _connect_arguments(parser: MagicParser) -> None:
    name_argument(parser)
    parser.add_argument("url", nargs="?", metavar="URL", help="the project's URL (default: SUPABASE_URL)")
    parser.add_argument("--key", metavar="K", help="its anon or publishable key (default: SUPABASE_KEY …)")
    parser.add_argument("--auth-url", metavar="U", help="the auth server's address, if not URL/auth/v1")
    parser.add_argument(
        "--storage", choices=STORAGES, help="where the session rests (file; on Binder only memory)"
    )
    parser.add_argument(
        "--demo", action="store_true", help="an auth server on this machine, to try things out"
    )
    parser.add_argument(
        "--allow-secret-key",
        action="store_true",
        help="take a service-role or secret key, which passes over row level security",
    )


def _connect(magics: SupabaseMagics, given: argparse.Namespace) -> Client:
    """Connect to a Supabase project; the client stands in the variable `supabase`."""
    name = given.name or DEFAULT_NAME
    if not arguments.is_name(name):
        raise SupabaseUsageError("--name becomes a variable: use letters, digits and underscores.")
    storage = _storage_kind(given.storage)
    url, key, auth_url = given.url, given.key, given.auth_url
    namespace = magics.shell.user_ns
    if given.demo:
        if url or key or auth_url:
            raise SupabaseUsageError("--demo brings its own URL and key: leave yours out.")
        from ..demo import ensure_server

        server = ensure_server()
        url, key, auth_url = server.url, server.anon_key, server.auth_url
    else:
        url, auth_url = (_address(magics, word) for word in (url, auth_url))
        key = _project_key(magics, key)
    project = resolve_project(url, key, auth_url=auth_url, allow_secret_key=given.allow_secret_key)
    if project.origin:
        print(f"{project.url} ({project.origin})")  # noqa: T201
    made_from = (project.url, Secret(project.key), project.auth_url, storage)
    connection = magics.connections.get(name)
    if (
        connection is None
        or connection.made_from != made_from
        or namespace.get(name) is not connection.client
    ):
        insisted = {"allow_secret_key": True} if given.allow_secret_key else {}
        client = _make_client(project.url, project.key, project.auth_url, storage, name, **insisted)
        if connection is not None:
            connection.client.close()
        elif name in namespace:
            print(f"The variable `{name}` held something else; it is the client now.")  # noqa: T201
        magics.connections[name] = connection = Connection(client, made_from)
        namespace[name] = client
    client = connection.client
    if on_binder():
        client.auth.set_notice("binder", WORDS["notice.binder"])
    _restore(client)
    magics.show(client)
    return client


def _storage_kind(given: str | None) -> str:
    """Where the session rests. Nothing is left on a machine of Binder's."""
    if not on_binder():
        return given or "file"
    if given not in (None, "memory"):
        raise SupabaseUsageError("On Binder a session rests in memory only: leave --storage out.")
    return "memory"


def _address(magics: SupabaseMagics, word: str | None) -> str | None:
    """An address may stand there as it is, or be named like any other value."""
    if word is None or "://" in word:
        return arguments.unquoted(word) or word if word else None
    if word.startswith("$") or arguments.unquoted(word) or word in magics.shell.user_ns:
        return magics.secret(word, "the URL").reveal()
    return word


def _project_key(magics: SupabaseMagics, word: str | None) -> str | None:
    """A project's public key may stand there as it is; it is no secret."""
    if word is None:
        return None
    if word.startswith("sb_publishable_") or is_jwt(Secret(word)):
        return word
    return magics.secret(word, "the project's key").reveal()


def _make_client(
    url: str, key: str, auth_url: str | None, storage: str, name: str, *, allow_secret_key: bool = False
) -> Client:
    from ..storage import FileStorage, KeyringStorage, MemoryStorage
    from .client import NotebookClient

    kinds = {"file": FileStorage, "memory": MemoryStorage, "keyring": KeyringStorage}
    return NotebookClient(
        url,
        key,
        auth_url=auth_url,
        storage=kinds[storage](),
        name="" if name == DEFAULT_NAME else name,
        allow_secret_key=allow_secret_key,
    )


def _restore(client: Client) -> None:
    """Continue the stored session, if there is one; what fails for good, the panel says."""
    from ..errors import AuthRetryableError, AuthStorageError

    try:
        client.auth.get_session()
    except AuthStorageError:
        raise
    except AuthRetryableError as error:
        logger.info("restoring is under way: %s", error)
    except AuthError as error:
        logger.info("the stored session could not be continued: %s", error)


def _set_session_arguments(parser: MagicParser) -> None:
    name_argument(parser)
    parser.add_argument("tokens", nargs="*", metavar="at rt", help="the access token and the refresh token")
    parser.add_argument("--prompt", action="store_true", help="ask with hidden prompts instead of a form")


def _set_session(magics: SupabaseMagics, given: argparse.Namespace) -> AuthResponse | None:
    """Restore the session that an access token and a refresh token stand for.

    Name two variables, or one that holds both; without arguments a form asks for the tokens.
    """
    client = magics.client(given.name)
    words: list[str] = given.tokens
    namespace = magics.shell.user_ns
    if not words:
        return _ask(magics, client, prompt=given.prompt)
    if len(words) == 1:
        value = arguments.resolve(words[0], namespace, what="the access token")
        pair = arguments.token_pair(value)
        if pair is None and isinstance(value, (str, Secret)):
            pair = read_paste(value)
        if pair is None or not pair[1]:
            raise SupabaseUsageError(
                "Give both tokens: %supabase_set_session at rt (or one variable that holds a session)."
            )
        access_token, refresh_token = pair
    elif len(words) == 2:
        access_token = magics.secret(words[0], "the access token")
        if is_jwt(Secret(words[0])) and arguments.is_name(words[1]) and words[1] not in namespace:
            words[1] = f'"{words[1]}"'  # beside a bare access token: a bare refresh token
        refresh_token = magics.secret(words[1], "the refresh token")
    else:
        raise SupabaseUsageError("There are too many arguments: %supabase_set_session at rt takes two.")
    magics.guard.take_back((access_token, refresh_token))
    if is_jwt(refresh_token) and not is_jwt(access_token):
        raise SupabaseUsageError(
            "These seem to be swapped: the access token comes first, then the refresh token."
        )
    response = client.auth.set_session(access_token, refresh_token)
    magics.show(client)
    return response


def _ask(magics: SupabaseMagics, client: Client, *, prompt: bool) -> AuthResponse | None:
    """A form where there is a browser, else hidden prompts."""
    if not prompt and prompts.can_show_form():
        from .entry import show_entry

        show_entry(client.auth)
        magics.show(client)
        return None
    response = client.auth.set_session(*prompts.ask_for_tokens())
    magics.show(client)
    return response


def _session(magics: SupabaseMagics, given: argparse.Namespace) -> Session | None:
    """Show the session: its status, its user, and when it expires."""
    client = magics.client(given.name)
    magics.show(client)
    return client.auth.session


def _refresh(magics: SupabaseMagics, given: argparse.Namespace) -> AuthResponse:
    """Exchange the refresh token for a new pair now, without waiting for the expiry."""
    client = magics.client(given.name)
    response = client.auth.refresh_session()
    magics.show(client)
    return response


def _sign_out_arguments(parser: MagicParser) -> None:
    name_argument(parser)
    parser.add_argument(
        "--scope",
        choices=("local", "global", "others"),
        default="local",
        help="this session (local), all of the user's (global), all but this one (others)",
    )


def _sign_out(magics: SupabaseMagics, given: argparse.Namespace) -> None:
    """Sign out: here, unless --scope says more."""
    client = magics.client(given.name)
    client.auth.sign_out(scope=given.scope)
    magics.show(client)


def _debug_arguments(parser: MagicParser) -> None:
    parser.add_argument("state", choices=("on", "off"), help="on: errors come with their traceback, redacted")


def _debug(magics: SupabaseMagics, given: argparse.Namespace) -> None:
    """Show errors of supabase-nb in full (tokens are left out), or short again."""
    AuthError.show_traceback = given.state == "on"


COMMANDS: dict[str, tuple[Callable[[MagicParser], object], Callable[..., Any]]] = {
    "supabase_connect": (_connect_arguments, _connect),
    "supabase_set_session": (_set_session_arguments, _set_session),
    "supabase_session": (name_argument, _session),
    "supabase_refresh": (name_argument, _refresh),
    "supabase_sign_out": (_sign_out_arguments, _sign_out),
    "supabase_debug": (_debug_arguments, _debug),
}
