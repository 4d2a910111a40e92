"""Keeping tokens that stand literally in a cell out of all that is stored and sent of it.

Before a cell is run, a placeholder takes the place of each token: what IPython executes, stores and echoes is
``%supabase_set_session token_taken_out_1 token_taken_out_2``. The placeholders are variables for as long as
the cell runs. Where that hook does not exist, or came too late (the cell that loads the extension), the
tokens are taken out again (`scrub`). Either way the cell's text is rewritten (`rewrite`), and a warning says
what could not be reached.
"""

from __future__ import annotations

import ast
import functools
import itertools
import logging
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import logs
from ..tokens import MASK, HiddenText, Secret
from .literals import Literal, find_literals, replaced
from .rewrite import rewrite_cell
from .scrub import scrub

if TYPE_CHECKING:
    from IPython.core.interactiveshell import ExecutionInfo, ExecutionResult, InteractiveShell

logger = logging.getLogger("supabase_nb")

PLACEHOLDER = "token_taken_out_"


class _Found(NamedTuple):
    """A cell with tokens in it."""

    cell: str
    literals: list[Literal]
    cell_id: str | None
    #: Whether this is what the front end asked for, and not a cell that code runs in turn.
    asked: bool = True


class Guard:
    """Watches the cells of one shell.

    Args:
        shell: The shell.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self.shell = shell
        self._numbers = itertools.count(1)
        self._here = threading.local()  # a subshell runs cells at the same time
        self._late: _Found | None = None
        self._known: set[Secret] = set()
        self._undo: list[Callable[[], object]] = []
        self._on = False

    # -- on and off ---------------------------------------------------------------------------------------

    def install(self) -> None:
        """Begin to watch. Hooks that are no public API are tried and may be missing."""
        self._on = True
        self._wrap_requests()
        self._wrap_run_cell()
        events = self.shell.events
        events.register("pre_run_cell", self._before)
        events.register("post_run_cell", self._after)
        self._undo.append(lambda: events.unregister("pre_run_cell", self._before))
        self._undo.append(lambda: events.unregister("post_run_cell", self._after))
        transformer = _Compiled(self)
        self.shell.ast_transformers.append(transformer)
        self._undo.append(lambda: self.shell.ast_transformers.remove(transformer))
        self._take_back_now()

    def uninstall(self) -> None:
        """Watch no more, and leave no hook behind."""
        self._on = False
        while self._undo:
            self._undo.pop()()

    def _wrap_requests(self) -> None:
        kernel = getattr(self.shell, "kernel", None)
        handlers = getattr(kernel, "shell_handlers", None)
        original = handlers.get("execute_request") if isinstance(handlers, dict) else None
        if handlers is None or original is None:
            return

        async def execute_request(*args: Any, **more: Any) -> Any:
            with self._replacing(args[-1] if args else None):
                return await original(*args, **more)

        def restore() -> None:
            # Somebody else may have wrapped this one; then it stays and does nothing.
            if handlers.get("execute_request") is execute_request:
                handlers["execute_request"] = original

        handlers["execute_request"] = execute_request
        self._undo.append(restore)
        log = getattr(kernel, "log", None)
        if isinstance(log, logging.Logger):
            logs.install()
            # A kernel at DEBUG logs what forms send, too.
            for redaction in (_RequestsInLog(), logs.RedactingFilter()):
                log.addFilter(redaction)
                self._undo.append(functools.partial(log.removeFilter, redaction))

    def _wrap_run_cell(self) -> None:
        """In a terminal there is no request: every cell goes through `run_cell`."""
        if getattr(self.shell, "kernel", None) is not None:
            return
        original: Callable[..., Any] = self.shell.run_cell

        def run_cell(raw_cell: str, *args: Any, **more: Any) -> Any:
            content = {"code": raw_cell}
            with self._replacing({"content": content}):
                return original(content["code"], *args, **more)

        def restore() -> None:
            if vars(self.shell).get("run_cell") is run_cell:
                del self.shell.run_cell  # the class's own is there again

        self.shell.run_cell = run_cell  # type: ignore[method-assign]
        self._undo.append(restore)

    # -- the first line: placeholders ---------------------------------------------------------------------

    @contextmanager
    def _replacing(self, request: Any) -> Iterator[None]:
        """Put placeholders into a request, for as long as it is worked on."""
        names: list[str] = []
        try:
            content = request["content"]
            code = content["code"]
            literals = find_literals(code, self.shell.user_ns) if self._on else []
            if literals:
                content["code"] = replaced(code, literals, lambda literal: self._place(literal, names))
                self._known |= {literal.value for literal in literals}
                cell_id = (request.get("metadata") or {}).get("cellId")
                if not content.get("silent"):
                    self._here.found = _Found(code, literals, cell_id)
        except Exception as error:  # noqa: BLE001 - whatever a front end sends: the cell must run
            logger.debug("a cell could not be searched for tokens: %s", type(error).__name__)
        try:
            yield
        finally:
            for name in names:
                self.shell.user_ns.pop(name, None)
                self.shell.user_ns_hidden.pop(name, None)

    def _place(self, literal: Literal, names: list[str]) -> str:
        if literal.way == "comment":
            return MASK
        name = f"{PLACEHOLDER}{next(self._numbers)}"
        names.append(name)
        self.shell.user_ns_hidden[name] = self.shell.user_ns[name] = HiddenText(literal.value.reveal())
        return f"{{{name}}}" if literal.way == "expansion" else name

    # -- the second line: scrubbing -----------------------------------------------------------------------

    def _take_back_now(self) -> None:
        """The cell that loads this: its request came before the guard did."""
        request = self._request()
        code = (request.get("content") or {}).get("code")
        history = self.shell.history_manager
        if not isinstance(code, str) and history is not None:
            code = history.input_hist_raw[-1]
        if code:
            self._note(code, (request.get("metadata") or {}).get("cellId"))
            self.compiled()

    def _note(self, code: str, cell_id: str | None) -> None:
        literals = find_literals(code, self.shell.user_ns)
        if literals:
            asked = self._request().get("content", {}).get("code") == code
            self._late = _Found(code, literals, cell_id, asked)

    def _request(self) -> dict[str, Any]:
        """The message that the kernel works on; empty in a terminal."""
        get_parent = getattr(self.shell, "get_parent", None)
        request = get_parent() if get_parent else None
        return request if isinstance(request, dict) else {}

    def _before(self, info: ExecutionInfo) -> None:
        found, self._here.found = getattr(self._here, "found", None), None
        if found is not None:
            rewrite_cell(self.shell, found.cell, found.literals, cell_id=found.cell_id, running=True)
            self._warn(len(found.literals), late=False, failed=())
        elif info.raw_cell:
            self._note(info.raw_cell, getattr(info, "cell_id", None))

    def compiled(self) -> None:
        """The cell is stored and compiled, and about to run: clean what is stored, before any traceback."""
        if self._late is not None:
            scrub(self.shell, [literal.value for literal in self._late.literals])

    def _after(self, result: ExecutionResult | None) -> None:
        found, self._late = self._late, None
        if found is not None:
            secrets = [literal.value for literal in found.literals]
            self._known |= set(secrets)
            failed = scrub(self.shell, secrets, result)
            self._hide_variables(secrets)
            rewrite_cell(self.shell, found.cell, found.literals, cell_id=found.cell_id, running=found.asked)
            self._warn(len(found.literals), late=True, failed=failed)

    def take_back(self, secrets: Iterable[Secret]) -> None:
        """Clean the cells before, where these tokens turn out to stand in one of them.

        Args:
            secrets: Tokens that just came in through variables.
        """
        new = [secret for secret in secrets if secret and secret not in self._known]
        self._known |= set(new)
        history = self.shell.history_manager
        if history is None or not new:
            return
        cells = [cell for cell in history.input_hist_raw if any(secret.reveal() in cell for secret in new)]
        if not cells:
            return
        failed = scrub(self.shell, new)
        self._hide_variables(new)
        for cell in cells:
            literals = [
                literal
                for literal in find_literals(cell, self.shell.user_ns)
                if any(secret.reveal() in literal.value.reveal() for secret in new)
            ]
            if literals:
                rewrite_cell(self.shell, cell, literals, cell_id=None, running=False)
        self._warn(len(new), late=True, failed=failed, earlier=True)

    def _hide_variables(self, secrets: Iterable[Secret]) -> None:
        """Variables that were filled from a cell's literals: the same text, which does not show itself."""
        values = {secret.reveal() for secret in secrets}
        for name, value in list(self.shell.user_ns.items()):
            if type(value) is str and value in values:
                self.shell.user_ns[name] = HiddenText(value)

    def _warn(self, number: int, *, late: bool, failed: Iterable[str], earlier: bool = False) -> None:
        terminal = getattr(self.shell, "kernel", None) is None
        tokens, they = ("A token", "It was") if number == 1 else (f"{number} tokens", "They were")
        where = "in a cell that ran before" if earlier else "in this line" if terminal else "in this cell"
        lines = [
            f"{tokens} stood {where}. {they} {'taken out of' if late else 'kept out of'} the history"
            + (" and tracebacks." if terminal else ", outputs and tracebacks, and out of the cell's text.")
        ]
        beyond = [] if terminal else ["a notebook that was saved before (save it again)"]
        if late and not terminal:
            beyond.append("other browsers that showed the cell")
        if terminal:
            beyond.append("what the screen still shows")
        lines.append(f"Out of reach: {', '.join([*beyond, *failed])}.")
        lines.append(
            "If anybody may have seen them: %supabase_sign_out --scope global, and sign in again. "
            "Next time: %supabase_set_session with nothing behind it, it asks for them."
        )
        sys.stderr.write("supabase-nb: " + "\n  ".join(lines) + "\n")
        sys.stderr.flush()


class _Compiled(ast.NodeTransformer):
    """Tells the guard that a cell has been stored and compiled; changes nothing."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def visit(self, node: ast.AST) -> ast.AST:
        """Called once per cell, with its whole tree."""
        self._guard.compiled()
        return node


class _RequestsInLog(logging.Filter):
    """A kernel at DEBUG logs each request before anybody can change it: log it without the tokens."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass, without tokens in it."""
        for argument in record.args if isinstance(record.args, tuple) else (record.args,):
            if isinstance(argument, dict):
                content = argument.get("content", argument)
                code = content.get("code") if isinstance(content, dict) else None
                literals = find_literals(code) if isinstance(code, str) else []
                if literals:
                    text = record.getMessage()
                    for literal in literals:
                        text = text.replace(literal.value.reveal(), MASK)
                    record.msg, record.args = text, ()
                    break
        return True
