"""Masks tokens in the records of cells. The code itself runs unchanged.

Everything that IPython stores or sends about a cell goes through `redaction.mask`. When a value becomes known
later, earlier records are cleaned (`ipython_records`), the browser cleans the cells (`browser_masking`), and
a notice says what happened (`cell_notice`).
"""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .. import log_redaction, redaction
from ..token_search import shapes, tokens_in_cookie
from ..tokens import Secret
from . import ipython_records
from .cell_notice import Notice, Place, Report, form_listeners

if TYPE_CHECKING:
    from IPython.core.interactiveshell import ExecutionInfo, ExecutionResult, InteractiveShell

    from .browser_masking import BrowserMasker

logger = logging.getLogger("supabase_nb")

#: Kernel messages with a cell's outputs.
_OUTPUTS = {"stream", "display_data", "update_display_data", "execute_result"}
#: Kernel messages that quote a cell.
_QUOTES = {"execute_input", "error", "execute_reply"}


class CellRedaction:
    """Masks secrets in the records of one shell.

    Args:
        shell: The shell.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self.shell = shell
        self._on = False
        self._undo: list[Callable[[], object]] = []
        self._lock = threading.RLock()
        self._cell: str | None = None  # the running cell
        #: Values that were in a cell. They are masked in outputs.
        self._in_cells: set[Secret] = set()
        self._told: set[Secret] = set()
        self._cleaner: BrowserMasker | None = None
        self._asked: set[Secret] = set()
        self._ask = False  # whether the browser has values to look for
        self._notice = Notice()  # the next notice
        self._below_form: Place | None = None
        self._places: list[Place] = []

    # -- on and off ---------------------------------------------------------------------------------------

    def install(self) -> None:
        """Install the hooks. Some aren't public API, so missing ones are skipped."""
        self._on = True
        shell, history = self.shell, self.shell.history_manager
        kernel = getattr(shell, "kernel", None)
        self._wrap(getattr(kernel, "session", None), "send", self._send)
        self._wrap(history, "store_inputs", self._store_inputs)
        self._wrap(history, "store_output", self._store_output)
        self._wrap(shell.compile, "cache", self._cache)
        self._wrap(shell.logger, "log", self._log)
        self._wrap(shell, "_showtraceback", self._show_traceback)
        for event, hook in (("pre_run_cell", self._before), ("post_run_cell", self._after)):
            shell.events.register(event, hook)
            self._undo.append(functools.partial(shell.events.unregister, event, hook))
        self._undo.append(redaction.listen(self._on_new_secret))
        form_listeners.append(self._form_is_shown)
        self._undo.append(functools.partial(form_listeners.remove, self._form_is_shown))
        log = getattr(kernel, "log", None)
        if isinstance(log, logging.Logger):
            log_redaction.install()
            redacting = log_redaction.RedactingFilter()  # a kernel logs requests at DEBUG
            log.addFilter(redacting)
            self._undo.append(functools.partial(log.removeFilter, redacting))
        # The cell that loads the extension has already been stored.
        code = (self._request().get("content") or {}).get("code")
        if not isinstance(code, str):
            code = history.input_hist_raw[-1] if history is not None else ""
        self._look_at(code)
        if earlier := redaction.given():
            self._on_new_secret(earlier, True)

    def uninstall(self) -> None:
        """Remove all hooks."""
        self._on = False
        while self._undo:
            self._undo.pop()()
        if self._cleaner is not None:
            self._cleaner.close()
            self._cleaner = None
        self._below_form = None
        while self._places:
            self._places.pop().close()

    def _wrap(self, owner: Any, name: str, replacement: Callable[..., Any]) -> None:
        """Replace an object's method with `replacement(original, ...)`."""
        original = getattr(owner, name, None)
        if original is None:
            return
        before = vars(owner).get(name)

        @functools.wraps(original)
        def wrapped(*args: Any, **more: Any) -> Any:
            return replacement(original, *args, **more) if self._on else original(*args, **more)

        def restore() -> None:
            # If other code has wrapped it in the meantime, it stays but does nothing.
            if vars(owner).get(name) is wrapped:
                if before is None:
                    delattr(owner, name)
                else:
                    setattr(owner, name, before)

        setattr(owner, name, wrapped)
        self._undo.append(restore)

    def _request(self) -> dict[str, Any]:
        """The message that the kernel is processing; empty in a terminal."""
        get_parent = getattr(self.shell, "get_parent", None)
        request = get_parent() if get_parent else None
        return request if isinstance(request, dict) else {}

    # -- records and messages ----------------------------------------------------------------------------

    def _store_inputs(self, original: Any, line_num: int, source: str, source_raw: str | None = None) -> None:
        raw = source if source_raw is None else source_raw
        original(line_num, redaction.mask(source), redaction.mask(raw))

    def _store_output(self, original: Any, line_num: int) -> None:
        self._clean_output(line_num)
        original(line_num)

    def _clean_output(self, line_num: int) -> None:
        history = self.shell.history_manager
        if history is None:
            return
        # Like the displayed traceback: `%xmode Verbose` quotes variables.
        exceptions = getattr(history, "exceptions", {})
        if line_num in exceptions:
            exceptions[line_num] = _masked(exceptions[line_num], redaction.mask_colored)
        if not self._in_cells:
            return
        if line_num in history.output_hist_reprs:
            history.output_hist_reprs[line_num] = _masked(
                history.output_hist_reprs[line_num], self._mask_output
            )
        for output in getattr(history, "outputs", {}).get(line_num, []):
            output.bundle = _masked(output.bundle, self._mask_output)

    def _cache(self, original: Any, transformed_code: str, *args: Any, **more: Any) -> Any:
        import linecache

        name = original(transformed_code, *args, **more)
        entry = linecache.cache.get(name)
        if entry is not None and len(entry) == 4:
            size, modified, lines, full = entry
            linecache.cache[name] = (size, modified, [redaction.mask(line) for line in lines], full)
        return name

    def _log(self, original: Any, line_mod: str, line_ori: str) -> None:
        original(redaction.mask(line_mod), redaction.mask(line_ori))

    def _show_traceback(self, original: Any, kind: Any, value: Any, lines: list[str]) -> None:
        original(kind, value, [redaction.mask_colored(line) for line in lines])

    def _send(
        self, original: Any, stream: Any, message: Any, content: Any = None, *args: Any, **more: Any
    ) -> Any:
        try:
            if isinstance(message, str):
                content = self._clean_message(message, content)
            elif isinstance(message, dict):
                kind = message.get("header", {}).get("msg_type")
                clean = self._clean_message(kind, message.get("content"))
                if clean is not message.get("content"):
                    message = {**message, "content": clean}
        except Exception as error:  # noqa: BLE001 - whatever a kernel sends: it must be sent
            logger.debug("a message could not be searched for tokens: %s", type(error).__name__)
        return original(stream, message, content, *args, **more)

    def _clean_message(self, kind: str | None, content: Any) -> Any:
        if kind in _OUTPUTS and self._in_cells:
            return _masked(content, self._mask_output)
        if kind in _QUOTES and isinstance(content, dict):
            # These are neither run nor stored, so anything that looks like a token can be masked.
            clean: Callable[[str], str] = (
                redaction.hide if kind == "execute_input" else redaction.mask_colored
            )
            kept = content.get("user_expressions")
            return {**_masked(content, clean), **({} if kept is None else {"user_expressions": kept})}
        return content

    def _mask_output(self, text: str) -> str:
        return redaction.mask(text, tuple(self._in_cells))

    # -- new values --------------------------------------------------------------------------------------

    def _before(self, info: ExecutionInfo) -> None:
        self._look_at(info.raw_cell or "")

    def _look_at(self, code: str) -> None:
        """Check a cell that is about to run or running."""
        self._cell = code
        found = [
            (shape, Secret(code[shape.start : shape.end])) for shape in shapes(code) if not shape.is_public
        ]
        sessions = [value for shape, value in found if shape.is_session]
        cookies = [value for shape, value in found if shape.kind == "session cookie"]
        inside = [token for value in cookies for token in tokens_in_cookie(value.reveal())]
        redaction.remember(*sessions, *inside)
        keys = {value for shape, value in found if not shape.is_session}
        here = redaction.known_in(code) | set(inside)
        with self._lock:
            self._in_cells |= here | keys
            self._notice.passwords |= set(filter(redaction.is_password, here)) - self._told
            self._notice.keys |= keys - self._told
            if again := here & set(redaction.given()):
                self._notice.tokens |= again
                self._ask = True
        if here or keys:
            ipython_records.clean_memory(self.shell, here | keys)

    def _on_new_secret(self, values: tuple[Secret, ...], given: bool) -> None:
        """New values are known: clean earlier records. Called in any thread."""
        with self._lock:
            here = ipython_records.values_in_memory(self.shell, values) | (self._in_cells & set(values))
            here |= {value for value in values if value.reveal() in (self._cell or "")}
            self._in_cells |= here
            if here:
                ipython_records.clean_memory(self.shell, here)
            passwords = set(filter(redaction.is_password, values))
            if not (given or here or passwords):
                return
            found, failed = ipython_records.clean_files(self.shell, values)
            self._notice.passwords |= (passwords & here) - self._told
            if passwords & here:
                self._notice.failed |= set(failed)
            if given:
                self._notice.failed |= set(failed)
                news = (here | found) - self._told
                self._notice.tokens |= news
                self._ask |= bool(news) or not self._asked.issuperset(values)
        if given and self._cell is None:  # from the form
            self._ask_browser()
            self._tell_below_form()

    def _after(self, result: ExecutionResult | None) -> None:
        self._cell = None
        if result is not None:
            if self._in_cells:
                ipython_records.clean_result(self.shell, result, tuple(self._in_cells))
            self._clean_output(getattr(result, "execution_count", None) or 0)
        self._tell()

    # -- notices ------------------------------------------------------------------------------------------

    def _tell(self) -> None:
        with self._lock:
            self._ask_browser()
            if self._notice.tokens or self._notice.keys or self._notice.passwords or self._notice.failed:
                self._told |= self._notice.tokens | self._notice.keys | self._notice.passwords
                if self._in_kernel:
                    self._notice.show(self._place())
                else:
                    self._notice.write()
                self._notice = Notice()

    def _place(self) -> Place:
        """A place for a notice, with its button if widgets are available."""
        place = Place(None)
        self._places.append(place)

        def sign_out() -> str:
            from .sign_out_button import sign_out_everywhere

            tokens = place.notice.tokens if place.notice is not None else set()
            return sign_out_everywhere(list(self.shell.user_ns.values()), tokens)

        try:
            from .sign_out_button import SignOutButton

            place.button = SignOutButton(sign_out)
        except Exception as error:  # noqa: BLE001 - a broken widget stack must not keep the notice from being shown
            logger.debug("no widget to sign out with: %s", type(error).__name__)
        return place

    def _form_is_shown(self) -> None:
        """A form is shown: reserve a place for a notice below it, as its tokens arrive between cells."""
        if self._in_kernel:
            self._below_form = self._place()
            self._below_form.open({"text/plain": "", "text/html": "<div hidden></div>"})

    def _tell_below_form(self) -> None:
        """Show the notice at once, unless a cell is running and will show it at its end."""
        with self._lock:
            if self._cell is None and self._notice.tokens and self._below_form is not None:
                self._told |= self._notice.tokens
                self._notice.show(self._below_form)
                self._notice = Notice()

    @property
    def _in_kernel(self) -> bool:
        return getattr(self.shell, "kernel", None) is not None

    def _ask_browser(self) -> None:
        with self._lock:
            ask, self._ask = self._ask, False
            if not ask or not self._in_kernel:
                return
            try:
                if self._cleaner is None:
                    from .browser_masking import BrowserMasker

                    self._cleaner = BrowserMasker(self._reported)
                values = redaction.given()
                self._asked.update(values)
                self._cleaner.ask(values, self._notice)
            except Exception as error:  # noqa: BLE001 - a broken widget stack must not keep cells from running
                logger.debug("no widget to clean cells with: %s", type(error).__name__)

    def _reported(self, notice: Notice, report: Report, found: set[Secret]) -> None:
        """Handle a browser's report. If there is no notice yet, the next cell shows it."""
        with self._lock:
            if not notice.is_shown and notice is not self._notice:
                if not found:
                    return
                notice = self._notice
            notice.add(report, found)
            self._tell_below_form()


def _masked(value: Any, clean: Callable[[str], str]) -> Any:
    """A copy of the data with masked texts."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {_masked(key, clean): _masked(item, clean) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        items = [_masked(item, clean) for item in value]
        return items if isinstance(value, list) else tuple(items)
    return value
