"""Masks tokens in the records of cells. The code itself runs unchanged.

Everything that IPython stores or sends about a cell goes through `masking.mask`. When a value becomes known
later, earlier records are cleaned (`ipython_records`), the browser cleans the cells (`browser_masking`), and
a notice says what happened (`masking_notice`).
"""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..._secrets import log_masking, masking
from ..._secrets.token_search import find_tokens, tokens_in_cookie
from ..._secrets.tokens import Secret
from .._displays.token_form_shown import on_token_form_shown
from . import ipython_records
from .masking_notice import BrowserReport, MaskingNotice, NoticeOutput

if TYPE_CHECKING:
    from IPython.core.interactiveshell import ExecutionInfo, ExecutionResult, InteractiveShell

    from .browser_masking import BrowserMasker

logger = logging.getLogger("supabase_nb")

#: Kernel messages with a cell's outputs.
_OUTPUT_MESSAGES = {"stream", "display_data", "update_display_data", "execute_result"}
#: Kernel messages that quote a cell.
_QUOTING_MESSAGES = {"execute_input", "error", "execute_reply"}


class CellMasking:
    """Masks secrets in the records of one shell.

    Args:
        shell: The shell.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self.shell = shell
        self._is_installed = False
        self._undo: list[Callable[[], object]] = []
        self._lock = threading.RLock()
        self._running_code: str | None = None  # the running cell
        #: Values that were in a cell. They are masked in outputs.
        self._in_cells: set[Secret] = set()
        self._announced: set[Secret] = set()
        self._browser_masker: BrowserMasker | None = None
        self._sent_to_browser: set[Secret] = set()
        self._has_values_for_browser = False  # whether the browser has values to look for
        self._notice = MaskingNotice()  # the next notice
        self._below_form: NoticeOutput | None = None
        self._outputs: list[NoticeOutput] = []

    # -- on and off ---------------------------------------------------------------------------------------

    def install(self) -> None:
        """Install the hooks. Some aren't public API, so missing ones are skipped."""
        self._is_installed = True
        shell, history = self.shell, self.shell.history_manager
        kernel = getattr(shell, "kernel", None)
        self._wrap(getattr(kernel, "session", None), "send", self._send)
        self._wrap(history, "store_inputs", self._store_inputs)
        self._wrap(history, "store_output", self._store_output)
        self._wrap(shell.compile, "cache", self._cache)
        self._wrap(shell.logger, "log_write", self._log_write)
        self._wrap(shell, "_showtraceback", self._show_traceback)
        for event, hook in (("pre_run_cell", self._before_cell), ("post_run_cell", self._after_cell)):
            shell.events.register(event, hook)
            self._undo.append(functools.partial(shell.events.unregister, event, hook))
        self._undo.append(masking.listen(self._on_new_secret))
        on_token_form_shown.append(self._reserve_output_below_form)
        self._undo.append(functools.partial(on_token_form_shown.remove, self._reserve_output_below_form))
        log = getattr(kernel, "log", None)
        if isinstance(log, logging.Logger):
            log_masking.install()
            redacting = log_masking.RedactingFilter()  # a kernel logs requests at DEBUG
            log.addFilter(redacting)
            self._undo.append(functools.partial(log.removeFilter, redacting))
        # The cell that loads the extension has already been stored.
        code = (self._request().get("content") or {}).get("code")
        if not isinstance(code, str):
            code = history.input_hist_raw[-1] if history is not None else ""
        self._scan_cell(code)
        if earlier := masking.given_values():
            self._on_new_secret(earlier, True)

    def uninstall(self) -> None:
        """Remove all hooks."""
        self._is_installed = False
        while self._undo:
            self._undo.pop()()
        if self._browser_masker is not None:
            self._browser_masker.close()
            self._browser_masker = None
        self._below_form = None
        while self._outputs:
            self._outputs.pop().close()

    def _wrap(self, owner: Any, name: str, replacement: Callable[..., Any]) -> None:
        """Replace an object's method with `replacement(original, ...)`."""
        original = getattr(owner, name, None)
        if original is None:
            return
        before = vars(owner).get(name)

        @functools.wraps(original)
        def wrapped(*args: Any, **more: Any) -> Any:
            return replacement(original, *args, **more) if self._is_installed else original(*args, **more)

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
        original(line_num, masking.mask(source), masking.mask(raw))

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
            exceptions[line_num] = _mask_nested(exceptions[line_num], masking.mask_colored)
        if not self._in_cells:
            return
        if line_num in history.output_hist_reprs:
            history.output_hist_reprs[line_num] = _mask_nested(
                history.output_hist_reprs[line_num], self._mask_output
            )
        for output in getattr(history, "outputs", {}).get(line_num, []):
            output.bundle = _mask_nested(output.bundle, self._mask_output)

    def _cache(self, original: Any, transformed_code: str, *args: Any, **more: Any) -> Any:
        import linecache

        name = original(transformed_code, *args, **more)
        entry = linecache.cache.get(name)
        if entry is not None and len(entry) == 4:
            size, modified, lines, full = entry
            linecache.cache[name] = (size, modified, [masking.mask(line) for line in lines], full)
        return name

    def _log_write(self, original: Any, data: str, *args: Any, **more: Any) -> None:
        original(masking.mask(data), *args, **more)

    def _show_traceback(self, original: Any, kind: Any, value: Any, lines: list[str]) -> None:
        original(kind, value, [masking.mask_colored(line) for line in lines])

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
        except Exception as error:  # noqa: BLE001 - the kernel's message must be sent in any case
            logger.debug("a message could not be searched for tokens: %s", type(error).__name__)
        return original(stream, message, content, *args, **more)

    def _clean_message(self, kind: str | None, content: Any) -> Any:
        if kind in _OUTPUT_MESSAGES and self._in_cells:
            return _mask_nested(content, self._mask_output)
        if kind in _QUOTING_MESSAGES and isinstance(content, dict):
            # These are neither run nor stored, so anything that looks like a token can be masked.
            clean: Callable[[str], str] = (
                masking.mask_for_logs if kind == "execute_input" else masking.mask_colored
            )
            masked = _mask_nested(content, clean)
            if "user_expressions" in content:
                masked["user_expressions"] = content["user_expressions"]
            for place, item in enumerate(content.get("payload") or ()):
                if item.get("source") == "set_next_input":  # code to run, as from %load
                    masked["payload"][place] = item
            return masked
        return content

    def _mask_output(self, text: str) -> str:
        return masking.mask(text, tuple(self._in_cells))

    # -- new values --------------------------------------------------------------------------------------

    def _before_cell(self, info: ExecutionInfo) -> None:
        self._scan_cell(info.raw_cell or "")

    def _scan_cell(self, code: str) -> None:
        """Search a cell for secrets before it runs, or while it is running."""
        self._running_code = code
        found = [
            (match, Secret(code[match.start : match.end]))
            for match in find_tokens(code)
            if not match.is_public
        ]
        sessions = [value for match, value in found if match.is_session]
        cookies = [value for match, value in found if match.kind == "session cookie"]
        inside = [token for value in cookies for token in tokens_in_cookie(value.reveal())]
        masking.remember(*sessions, *inside)
        keys = {value for match, value in found if not match.is_session}
        in_cells = masking.known_in(code) | set(inside)
        with self._lock:
            self._in_cells |= in_cells | keys
            self._notice.passwords |= set(filter(masking.is_password, in_cells)) - self._announced
            self._notice.keys |= keys - self._announced
            if seen_again := in_cells & set(masking.given_values()):
                self._notice.tokens |= seen_again
                self._has_values_for_browser = True
        if in_cells or keys:
            ipython_records.clean_memory(self.shell, in_cells | keys)

    def _on_new_secret(self, values: tuple[Secret, ...], given: bool) -> None:
        """New values are known: clean earlier records. Called in any thread."""
        with self._lock:
            in_cells = ipython_records.values_in_memory(self.shell, values) | (self._in_cells & set(values))
            in_cells |= {value for value in values if value.reveal() in (self._running_code or "")}
            self._in_cells |= in_cells
            if in_cells:
                ipython_records.clean_memory(self.shell, in_cells)
            passwords = set(filter(masking.is_password, values))
            if not (given or in_cells or passwords):
                return
            found, failed = ipython_records.clean_files(self.shell, values)
            self._notice.passwords |= (passwords & in_cells) - self._announced
            if passwords & in_cells:
                self._notice.failed |= set(failed)
            if given:
                self._notice.failed |= set(failed)
                new_tokens = (in_cells | found) - self._announced
                self._notice.tokens |= new_tokens
                self._has_values_for_browser |= bool(new_tokens) or not self._sent_to_browser.issuperset(
                    values
                )
        if given and self._running_code is None:  # from the form
            self._send_values_to_browser()
            self._show_notice_below_form()

    def _after_cell(self, result: ExecutionResult | None) -> None:
        self._running_code = None
        if result is not None:
            if self._in_cells:
                ipython_records.clean_result(self.shell, result, tuple(self._in_cells))
            self._clean_output(getattr(result, "execution_count", None) or 0)
        self._show_notice()

    # -- notices ------------------------------------------------------------------------------------------

    def _show_notice(self) -> None:
        with self._lock:
            self._send_values_to_browser()
            if self._notice.tokens or self._notice.keys or self._notice.passwords or self._notice.failed:
                self._announced |= self._notice.tokens | self._notice.keys | self._notice.passwords
                if self._in_kernel:
                    self._notice.show(self._new_output())
                else:
                    self._notice.write()
                self._notice = MaskingNotice()

    def _new_output(self) -> NoticeOutput:
        """An output for a notice, with its button if widgets are available."""
        output = NoticeOutput(None)
        self._outputs.append(output)

        def sign_out() -> str:
            from .sign_out_everywhere import sign_out_everywhere

            tokens = output.notice.tokens if output.notice is not None else set()
            return sign_out_everywhere(list(self.shell.user_ns.values()), tokens)

        try:
            from .sign_out_everywhere import SignOutEverywhereButton

            output.button = SignOutEverywhereButton(sign_out)
        except Exception as error:  # noqa: BLE001 - a broken widget stack must not keep the notice from being shown
            logger.debug("no widget to sign out with: %s", type(error).__name__)
        return output

    def _reserve_output_below_form(self) -> None:
        """Reserve an output for a notice below a form, because the form's tokens arrive between cells."""
        if self._in_kernel:
            self._below_form = self._new_output()
            self._below_form.show({"text/plain": "", "text/html": "<div hidden></div>"})

    def _show_notice_below_form(self) -> None:
        """Show the notice at once, unless a cell is running and will show it at its end."""
        with self._lock:
            if self._running_code is None and self._notice.tokens and self._below_form is not None:
                self._announced |= self._notice.tokens
                self._notice.show(self._below_form)
                self._notice = MaskingNotice()

    @property
    def _in_kernel(self) -> bool:
        return getattr(self.shell, "kernel", None) is not None

    def _send_values_to_browser(self) -> None:
        with self._lock:
            ask, self._has_values_for_browser = self._has_values_for_browser, False
            if not ask or not self._in_kernel:
                return
            try:
                if self._browser_masker is None:
                    from .browser_masking import BrowserMasker

                    self._browser_masker = BrowserMasker(self._on_browser_report)
                values = masking.given_values()
                self._sent_to_browser.update(values)
                self._browser_masker.mask(values, self._notice)
            except Exception as error:  # noqa: BLE001 - a broken widget stack must not keep cells from running
                logger.debug("no widget to clean cells with: %s", type(error).__name__)

    def _on_browser_report(self, notice: MaskingNotice, report: BrowserReport, found: set[Secret]) -> None:
        """Handle a browser's report. If there is no notice yet, the next cell shows it."""
        with self._lock:
            if not notice.is_shown and notice is not self._notice:
                if not found:
                    return
                notice = self._notice
            notice.add(report, found)
            self._show_notice_below_form()


def _mask_nested(value: Any, clean: Callable[[str], str]) -> Any:
    """A copy of the data with masked texts."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {_mask_nested(key, clean): _mask_nested(item, clean) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        items = [_mask_nested(item, clean) for item in value]
        return items if isinstance(value, list) else tuple(items)
    return value
