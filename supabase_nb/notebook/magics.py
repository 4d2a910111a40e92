"""The magics, and what `%load_ext supabase_nb` and `%unload_ext supabase_nb` do."""

from __future__ import annotations

import argparse
import functools
import logging
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

from IPython.core.magic import no_var_expand

from ..connect import resolve_project
from ..errors import AuthError
from ..tokens import Secret, is_jwt
from . import arguments
from .arguments import MagicParser, SupabaseUsageError
from .guard import Guard
from .paste import read_paste

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from ..client import Client
    from ..models import AuthResponse, Session

logger = logging.getLogger("supabase_nb")

#: The variable that `%supabase_connect` fills when no --name is given.
DEFAULT_NAME = "supabase"
STORAGES = ("file", "memory", "keyring")


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a magic, told in one line."""

    def _render_traceback_(self, *_: object) -> list[str]:
        return ["Interrupted. The session is as it was; run the cell again whenever you like."]


class _Connection(NamedTuple):
    """A client that `%supabase_connect` made, and from what."""

    client: Client
    made_from: tuple[object, ...]


class SupabaseMagics:
    """The magics of one IPython shell and the clients they made.

    Args:
        shell: The shell; its variables are what bare names mean.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self.shell = shell
        self.connections: dict[str, _Connection] = {}
        self.parsers: dict[str, MagicParser] = {}
        self.guard = Guard(shell)
        self._undo: list[Callable[[], object]] = []

    # -- loading and unloading ----------------------------------------------------------------------------

    def load(self) -> None:
        """Add the magics, their completions, and the guard that keeps tokens out of what is stored."""
        for name, build in _COMMANDS.items():
            self.add(name, *build)
        self._add_completions()
        self.guard.install()

    def add(
        self, name: str, build: Callable[[MagicParser], object], run: Callable[[Any, argparse.Namespace], Any]
    ) -> None:
        """Add one magic.

        Args:
            name: Its name, without the %.
            build: Adds its arguments to a parser.
            run: Called with these magics and the parsed arguments; its docstring is the magic's help.
        """
        parser = MagicParser(name, run.__doc__ or "")
        build(parser)

        @functools.wraps(run)
        def magic(line: str) -> Any:
            return self._call(run, parser, line)

        magic.__doc__ = parser.format_help()
        magic.__name__ = name
        self.parsers[name] = parser
        self.shell.register_magic_function(no_var_expand(magic), "line", name)  # type: ignore[arg-type]
        lines = self.shell.magics_manager.magics["line"]
        self._undo.append(lambda: lines.pop(name, None))

    def unload(self) -> None:
        """Take everything back: magics, completions, guard; close the clients and their displays."""
        self.guard.uninstall()
        while self._undo:
            self._undo.pop()()
        AuthError.show_traceback = False
        for name in list(self.connections):
            self._drop(name)
        if "supabase_nb.notebook.widgets" in sys.modules:
            from .widgets import close_all

            close_all()

    def _drop(self, name: str) -> None:
        connection = self.connections.pop(name)
        connection.client.close()
        if self.shell.user_ns.get(name) is connection.client:
            del self.shell.user_ns[name]

    def _add_completions(self) -> None:
        from .completions import matcher

        completer = self.shell.Completer
        if completer is None:
            return
        matchers, added = completer.custom_matchers, matcher(self)
        matchers.append(added)

        def remove() -> None:
            if added in matchers:
                matchers.remove(added)

        self._undo.append(remove)

    # -- what every magic does ----------------------------------------------------------------------------

    def _call(self, run: Callable[..., Any], parser: MagicParser, line: str) -> Any:
        interrupted = False
        try:
            result = run(self, parser.read(line))
        except KeyboardInterrupt:
            interrupted = True
        if interrupted:
            # Raised anew: the frames it came through hold requests under way.
            raise Interrupted
        return None if self._stands_alone() else result

    def _stands_alone(self) -> bool:
        """Whether the magic is a statement of its own, so that the panel says all and no `Out` is needed."""
        import ast
        import linecache

        frame = sys._getframe()
        while frame is not None and frame.f_globals is not self.shell.user_global_ns:
            frame = frame.f_back  # type: ignore[assignment]
        if frame is None or frame.f_code.co_name != "<module>":
            return False
        try:
            tree = ast.parse("".join(linecache.getlines(frame.f_code.co_filename)))
        except SyntaxError:
            return False
        return any(
            isinstance(statement, ast.Expr)
            and statement.lineno <= frame.f_lineno <= (statement.end_lineno or statement.lineno)
            for statement in tree.body
        )

    def client(self, name: str | None) -> Client:
        """The client that a magic acts on.

        Args:
            name: The variable given with --name, if any.

        Raises:
            SupabaseUsageError: There is none by that name, none at all, or several to choose from.
        """
        known = dict(self._clients())
        if name is not None:
            if name in known:
                return known[name]
            others = f" There is {', '.join(f'`{other}`' for other in known)}." if known else ""
            raise SupabaseUsageError(f"There is no client by that name.{others} %supabase_connect makes one.")
        if DEFAULT_NAME in known:
            return known[DEFAULT_NAME]
        if len(known) == 1:
            return next(iter(known.values()))
        if known:
            raise SupabaseUsageError(
                f"There are several clients: say which one, --name {' or --name '.join(known)}."
            )
        raise SupabaseUsageError(
            "Nothing is connected yet. Run %supabase_connect first (--demo, to try things out)."
        )

    def _clients(self) -> Iterator[tuple[str, Client]]:
        yield from ((name, made.client) for name, made in self.connections.items())
        if "supabase_nb.client" in sys.modules:
            from ..client import Client

            yield from (
                (name, value)
                for name, value in list(self.shell.user_ns.items())
                if not name.startswith("_") and isinstance(value, Client)
            )

    def secret(self, word: str, what: str) -> Secret:
        """A text from a variable, the environment or a literal; see `arguments.resolve_text`."""
        return arguments.resolve_text(word, self.shell.user_ns, what=what)

    def show(self, client: Client) -> None:
        """Show a client's panel."""
        from .show import show

        show(client.auth)


# -- the magics: for each its arguments and what it does --------------------------------------------------


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
    parser.add_argument("--storage", choices=STORAGES, default="file", help="where the session rests (file)")
    parser.add_argument(
        "--demo", action="store_true", help="an auth server on this machine, to try things out"
    )


def _connect(magics: SupabaseMagics, given: argparse.Namespace) -> Client:
    """Connect to a Supabase project; the client stands in the variable `supabase`."""
    name = given.name or DEFAULT_NAME
    if not arguments.is_name(name):
        raise SupabaseUsageError("--name becomes a variable: use letters, digits and underscores.")
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
    project = resolve_project(url, key, auth_url=auth_url)
    made_from = (project.url, Secret(project.key), project.auth_url, given.storage)
    connection = magics.connections.get(name)
    if (
        connection is None
        or connection.made_from != made_from
        or namespace.get(name) is not connection.client
    ):
        client = _make_client(project.url, project.key, project.auth_url, given.storage, name)
        if connection is not None:
            connection.client.close()
        elif name in namespace:
            print(f"The variable `{name}` held something else; it is the client now.")  # noqa: T201
        magics.connections[name] = connection = _Connection(client, made_from)
        namespace[name] = client
    client = connection.client
    _restore(client)
    magics.show(client)
    return client


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


def _make_client(url: str, key: str, auth_url: str | None, storage: str, name: str) -> Client:
    from ..storage import FileStorage, KeyringStorage, MemoryStorage
    from .client import NotebookClient

    kinds = {"file": FileStorage, "memory": MemoryStorage, "keyring": KeyringStorage}
    return NotebookClient(
        url, key, auth_url=auth_url, storage=kinds[storage](), name="" if name == DEFAULT_NAME else name
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


def _set_session(magics: SupabaseMagics, given: argparse.Namespace) -> AuthResponse | None:
    """Restore the session that an access token and a refresh token stand for.

    Name two variables, or one that holds both; without arguments a form asks for the tokens.
    """
    client = magics.client(given.name)
    words: list[str] = given.tokens
    namespace = magics.shell.user_ns
    if not words:
        return _ask(magics, client)
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


def _ask(magics: SupabaseMagics, client: Client) -> AuthResponse | None:
    raise SupabaseUsageError("Give both tokens: %supabase_set_session at rt.")


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


_COMMANDS: dict[str, tuple[Callable[[MagicParser], object], Callable[..., Any]]] = {
    "supabase_connect": (_connect_arguments, _connect),
    "supabase_set_session": (_set_session_arguments, _set_session),
    "supabase_session": (name_argument, _session),
    "supabase_refresh": (name_argument, _refresh),
    "supabase_sign_out": (_sign_out_arguments, _sign_out),
    "supabase_debug": (_debug_arguments, _debug),
}

_loaded: WeakKeyDictionary[InteractiveShell, SupabaseMagics] = WeakKeyDictionary()


def load(shell: InteractiveShell) -> None:
    """Load the extension; harmless when it is loaded already."""
    if shell not in _loaded:
        magics = SupabaseMagics(shell)
        _loaded[shell] = magics
        magics.load()


def unload(shell: InteractiveShell) -> None:
    """Unload the extension; harmless when it is not loaded."""
    magics = _loaded.pop(shell, None)
    if magics is not None:
        magics.unload()
