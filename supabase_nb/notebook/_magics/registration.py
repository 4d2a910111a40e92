"""The magics, and what `%load_ext supabase_nb` and `%unload_ext supabase_nb` do."""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import FrameType, ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from weakref import WeakKeyDictionary, WeakSet

from IPython.core.error import UsageError
from IPython.core.extensions import ExtensionManager
from IPython.core.magic import no_var_expand

from ..._secrets.masking import mask_for_logs, remember_words
from ..._secrets.tokens import Secret
from ...errors import AuthError, redacted_traceback
from .._masking.cell_masking import CellMasking
from .._usage_error import SupabaseUsageError
from .._variables.argument_values import label
from .._variables.calling_scope import DEFAULT_NAME, Scope, calling_frame
from .magic_parser import MagicParser

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from ...client import Client


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a magic, shown in one line."""

    def _render_traceback_(self, *_: object) -> list[str]:
        return ["Interrupted. You can run the cell again."]


class MagicFailed(RuntimeError):
    """An exception other than `AuthError` inside a magic.

    Args:
        error: The exception. It isn't kept, because its frames hold the arguments.
    """

    def __init__(self, error: Exception) -> None:
        what = str(error).rstrip(".")
        super().__init__(mask_for_logs(f"{type(error).__name__}: {what}" if what else type(error).__name__))
        self._lines = redacted_traceback(error)

    def _render_traceback_(self, *_: object) -> list[str]:
        if AuthError.show_traceback:
            return self._lines
        return [f"{self}. To see where, run %supabase_debug on, then this cell again."]


class Connection(NamedTuple):
    """A client that `%supabase_connect` created, and its settings."""

    client: Client
    settings: tuple[object, ...]


class SupabaseMagics:
    """The magics of an IPython shell, and their clients.

    Args:
        shell: The shell.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self.shell = shell
        self.connections: dict[str, Connection] = {}
        self.parsers: dict[str, MagicParser] = {}
        self.cell_masking = CellMasking(shell)
        self._undo: list[Callable[[], object]] = []
        self._created_clients: WeakSet[Client] = WeakSet()

    # -- loading and unloading ----------------------------------------------------------------------------

    def load(self) -> None:
        """Add the magics, their completions, and the masking of tokens in cells."""
        from .session_magics import COMMANDS
        from .sign_in_magics import SIGN_IN_COMMANDS

        for name, command in (COMMANDS | SIGN_IN_COMMANDS).items():
            self.add(name, *command)
        self._add_completions()
        self.cell_masking.install()

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
            text, line = Secret(line), ""  # this frame can appear in a traceback with local variables
            return self._run_magic(run, parser, text)

        magic.__doc__ = parser.format_help()
        magic.__name__ = name
        self.parsers[name] = parser
        self.shell.register_magic_function(no_var_expand(magic), "line", name)  # type: ignore[arg-type]
        lines = self.shell.magics_manager.magics["line"]
        self._undo.append(lambda: lines.pop(name, None))

    def unload(self, *, keep_clients: bool = False) -> None:
        """Remove magics, completions and hooks, and close the clients.

        Args:
            keep_clients: Don't close the clients.
        """
        self.cell_masking.uninstall()
        while self._undo:
            self._undo.pop()()
        AuthError.show_traceback = False
        if keep_clients:
            return
        for client in list(self._created_clients):
            client.close()
        for name, connection in self.connections.items():
            if self.shell.user_ns.get(name) is connection.client:
                del self.shell.user_ns[name]
        if self._created_clients:
            from ...auth import stop_owner_loop

            stop_owner_loop()
        if "supabase_nb.notebook._displays.status_bar" in sys.modules:
            from .._displays.status_bar import status_bar

            status_bar.clear()
        if "supabase_nb.notebook._displays.widgets" in sys.modules:
            from .._displays.widgets import view_sender

            view_sender.stop()

    def connect(self, name: str, client: Client, settings: tuple[object, ...]) -> None:
        """Assign a client to a variable. A replaced client stays open if other code refers to it."""
        self._created_clients.add(client)
        self.connections[name] = Connection(client, settings)
        self.shell.user_ns[name] = client
        if getattr(self.shell, "kernel", None) is not None:
            from .._displays.status_bar import status_bar

            status_bar.add(name, client.auth)

    def adopt_clients(self, previous: SupabaseMagics) -> None:
        """Take over the clients of previously loaded magics."""
        self.connections.update(previous.connections)
        self._created_clients.update(previous._created_clients)

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

    # -- common to all magics ----------------------------------------------------------------------------

    def _run_magic(self, run: Callable[..., Any], parser: MagicParser, line: Secret) -> Any:
        failure: BaseException | None = None
        args = None
        remember_words(line.reveal(), self.shell.user_ns)
        try:
            args = parser.parse_line(line.reveal())
            args.variables = Scope(self.shell, calling_frame())
            result = run(self, args)
        except KeyboardInterrupt:
            failure = Interrupted()
        except (AuthError, UsageError) as error:
            args = None
            _clear_own_frames(error)
            raise
        except Exception as error:  # noqa: BLE001 - shown in one line, like every other failure
            failure = MagicFailed(error)
        if failure is not None:
            # Raised again, because the original frames hold the arguments and unfinished requests.
            raise failure
        return None if self._is_whole_statement() else result

    def _is_whole_statement(self) -> bool:
        """Whether the magic is a whole statement, so that the panel is enough and no `Out` is needed."""
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

    def select_client(self, args: argparse.Namespace) -> Client:
        """The client for a magic.

        Args:
            args: The magic's arguments: ``name``, the variable given with --name, if any.

        Raises:
            SupabaseUsageError: There is no client, none with that name, or several to choose from.
        """
        name: str | None = args.name
        known = self.clients()
        own = self._client_in_caller(args.variables, name or DEFAULT_NAME)
        if own is not None:
            return own
        if name is not None:
            if name in known:
                return known[name]
            others = f" Existing clients: {', '.join(f'`{other}`' for other in known)}." if known else ""
            raise SupabaseUsageError(
                f"There is no client with that name.{others} Run %supabase_connect to create one."
            )
        if DEFAULT_NAME in known:
            return known[DEFAULT_NAME]
        if len(known) == 1:
            return next(iter(known.values()))
        if known:
            raise SupabaseUsageError(
                f"There are several clients. Choose one: --name {' or --name '.join(known)}."
            )
        raise SupabaseUsageError(
            "Not connected yet. Run %supabase_connect first (with --demo to try it out)."
        )

    def _client_in_caller(self, scope: Scope, name: str) -> Client | None:
        """The client in a variable of the calling function or module, if called from outside a cell.

        Raises:
            SupabaseUsageError: The function's variable contains something else.
        """
        if scope.local_variables is self.shell.user_ns:
            return None
        known = list(self.clients().values())
        for names in (scope.local_variables, scope.global_variables):
            value = names.get(name) if names is not self.shell.user_ns else None
            if _is_client(value) or any(value is client for client in known):
                return cast("Client", value)
        # After `import supabase`, the name is a module.
        if name not in scope.local_variables or isinstance(scope.local_variables[name], ModuleType):
            return None
        raise SupabaseUsageError(
            f"{label(name)} is a variable of this function, but not a client. "
            "Pass the client's variable: --name …"
        )

    def clients(self) -> dict[str, Client]:
        """The notebook's clients, by variable."""
        return dict(self._clients())

    def _clients(self) -> Iterator[tuple[str, Client]]:
        yield from ((name, made.client) for name, made in self.connections.items())
        if "supabase_nb.client" in sys.modules:
            from ...client import Client

            yield from (
                (name, value)
                for name, value in list(self.shell.user_ns.items())
                if not name.startswith("_") and isinstance(value, Client)
            )

    def show(
        self,
        client: Client,
        *,
        always_panel: bool = False,
        open_form: bool = False,
        provider: str | None = None,
    ) -> None:
        """Show a client: its panel, or one line if another cell already shows the panel.

        Args:
            client: The client.
            always_panel: Show the panel in any case.
            open_form: Open the panel's form.
            provider: The provider that the form offers first.
        """
        from .._displays.show import show_change, show_panel

        if always_panel or open_form:
            show_panel(client.auth, open_form=open_form, provider=provider)
        else:
            show_change(client.auth)


def _clear_own_frames(error: BaseException) -> None:
    """Clear our frames, whose local variables hold the arguments and would be in tracebacks."""
    link = error.__traceback__
    while link is not None:
        if str(link.tb_frame.f_globals.get("__name__", "")).startswith("supabase_nb."):
            with suppress(RuntimeError):  # the running frame can't be cleared
                link.tb_frame.clear()
        link = link.tb_next


def _is_client(value: object) -> bool:
    if "supabase_nb.client" not in sys.modules:
        return False
    from ...client import Client

    return isinstance(value, Client)


_loaded: WeakKeyDictionary[InteractiveShell, SupabaseMagics] = WeakKeyDictionary()
# Kept between the unload and load of a `%reload_ext`.
_reloading: WeakKeyDictionary[InteractiveShell, SupabaseMagics] = WeakKeyDictionary()


def load(shell: InteractiveShell) -> None:
    """Load the extension, if it isn't loaded."""
    if shell not in _loaded:
        magics = SupabaseMagics(shell)
        _loaded[shell] = magics
        if (previous := _reloading.pop(shell, None)) is not None:
            magics.adopt_clients(previous)
        magics.load()


def unload(shell: InteractiveShell) -> None:
    """Unload the extension, if it is loaded."""
    magics = _loaded.pop(shell, None)
    if magics is None:
        return
    reloading = _is_reloading()
    magics.unload(keep_clients=reloading)
    if reloading:
        _reloading[shell] = magics


def _is_reloading() -> bool:
    """Whether `%reload_ext` is running. IPython doesn't say so: it unloads, then loads."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_code is not ExtensionManager.reload_extension.__code__:
        frame = frame.f_back
    return frame is not None
