"""The displays: panel, badge, user card, expiry, timeline and line, driven by a client's traits."""

from __future__ import annotations

import atexit
import logging
import threading
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, Literal, get_args

import traitlets

from ..._runtime.background import run_in_background
from ..._runtime.environment import HAS_THREADS
from ..._runtime.threadless_loop import page_loop
from ..._secrets.tokens import Secret
from ...errors import AuthError
from .._panel.panel_requests import HANDLERS, Fields
from .._panel.provider_requests import PROVIDER_HANDLERS, provider_label
from ..text import WORDS
from . import fallback
from .assets import read_css, read_esm
from .base_widget import BaseWidget
from .publishing import in_terminal, placement_of, publish_line, publish_widget, running_cell
from .token_form_shown import on_token_form_shown
from .view import describe

if TYPE_CHECKING:
    from ...auth import AuthClient

#: "token_entry" is the panel with its form open; a "line" is for magics where another cell shows the panel.
Kind = Literal["badge", "user_card", "expiry", "timeline", "panel", "token_entry", "line"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_TRAITS = ["session", "user", "status", "last_event", "last_error", "next_refresh_at", "notices", "closed"]
_log = logging.getLogger("supabase_nb")


class Display(BaseWidget):
    """One display of one client. Create it with `display_of`.

    It has no state. It observes the client's traits and sends their values as custom messages. Synced traits
    are saved with notebooks (by nbclient, by default), so only constants are synced.
    """

    _esm = read_esm("widgets.mjs")
    _css = read_css("shared.css", "parts.css", "panel.css", "form.css", "providers.css", "second_factor.css")

    kind = traitlets.Unicode(read_only=True).tag(sync=True)
    words = traitlets.Dict(read_only=True).tag(sync=True)

    def __init__(self, auth: AuthClient, kind: Kind) -> None:
        # A weak reference, because ipywidgets keeps every widget until it is closed.
        self._auth = weakref.ref(auth, lambda _: view_sender.schedule(self))
        self._seen_requests: deque[str] = deque(maxlen=64)
        self._seen_lock = threading.Lock()
        self._handler_lock = threading.Lock()
        self._kind: Kind = kind
        self.set_trait("kind", kind)
        self.set_trait("words", dict(WORDS))
        super().__init__()
        self.on_msg(self._on_message)
        auth.observe(self._on_change, _TRAITS)

    def send_view(self) -> None:
        """Send the client's current state to all views of this display."""
        view_sender.unschedule(self)
        auth = self._auth()
        if auth is None:
            self.send({"type": "closed"})
            return
        if auth.closed:
            self._auth = weakref.ref(auth)  # without the callback, which would send another message
        self.send({"type": "view", "view": describe(auth)})

    def open_form(self, provider: str | None = None) -> None:
        """Open the form in the view that was shown last, or is about to be.

        Args:
            provider: The provider that the form offers first.
        """
        offered = {"name": provider, "label": provider_label(provider)} if provider else None
        self.send({"type": "open", "provider": offered})

    def close(self) -> None:
        """Stop observing, and close the widget. Can be called repeatedly."""
        if self.comm is None:
            return
        auth = self._auth()
        if auth is not None:
            auth.unobserve(self._on_change, _TRAITS)
        super().close()

    def client_if_open(self) -> AuthClient | None:
        """The client; ``None`` if it was closed or garbage-collected."""
        auth = self._auth()
        return None if auth is None or auth.closed else auth

    @property
    def is_disconnected(self) -> bool:
        """Whether the comm was closed, as marimo does when the cell that created it runs again."""
        return self.comm is None or bool(getattr(self.comm, "_closed", False))

    def show(self, *, open_form: bool = False, provider: str | None = None) -> None:
        """Show it as an output of the running cell, with a snapshot for notebooks without a kernel.

        Args:
            open_form: Open the panel's form.
            provider: The provider that the form offers first.
        """
        auth = self._auth()
        if auth is None:
            return
        if in_terminal():
            publish_line(auth)
            return
        if self._kind in ("panel", "token_entry"):
            cell, execution = running_cell()
            placement = placement_of(auth)
            placement.panel_cells.add(cell)
            placement.last_execution, placement.showed_panel = execution, True
        # Send the state first, because the browser can't request it while a cell is running. It keeps the
        # state for the view that it is about to draw, and doesn't redraw existing views.
        self.send_view()
        if open_form:
            self.open_form(provider)
        view = describe(auth)
        one_line = self._kind in ("badge", "line")
        publish_widget(self.mimebundle(), fallback.plain(view), fallback.html(view, one_line=one_line))
        if open_form:
            for listener in list(on_token_form_shown):
                listener()

    def __repr__(self) -> str:
        # Also shown in a box's text, which is all that is left of it without its kernel.
        auth = self._auth()
        return f"Display({self._kind!r}, closed)" if auth is None else fallback.plain(describe(auth))

    def _ipython_display_(self, **_: object) -> None:
        self.show(open_form=self._kind == "token_entry")

    def _on_change(self, change: object) -> None:
        # Called in the thread that changed the trait, maybe before the other traits are set.
        view_sender.schedule(self)

    def _on_message(self, _: object, content: object, buffers: object) -> None:
        # Called in the main thread (ipykernel 7.4) or a subshell's. Don't block it with requests.
        if not isinstance(content, dict):
            return
        if content.get("type") == "hello":
            self.send_view()
        elif content.get("type") == "ask":
            fields = _pop_fields(content)
            request_id, name = str(content.get("id")), content.get("what")
            if (name not in HANDLERS and name not in PROVIDER_HANDLERS) or self.client_if_open() is None:
                return
            with self._seen_lock:
                if request_id in self._seen_requests:
                    return
                self._seen_requests.append(request_id)
            run_in_background(self._handle_request, request_id, name, fields, name="supabase-nb-ask")

    def _handle_request(self, request_id: str, name: str, fields: Fields) -> None:
        self.send({"type": "taken", "id": request_id})
        answer: dict[str, Any] = {"type": "answer", "id": request_id, "ok": False, "text": ""}
        auth = self.client_if_open()
        try:
            with self._handler_lock:
                if auth is not None and name in PROVIDER_HANDLERS:
                    answer |= {**PROVIDER_HANDLERS[name](auth, fields, self.send), "ok": True}
                elif auth is not None:
                    answer |= {"text": HANDLERS[name](auth, fields), "ok": True}
        except AuthError as error:
            answer["text"] = error.message
        except Exception as error:  # noqa: BLE001 - the thread has no caller; the panel shows the failure
            _log.warning("%s failed: %s", name, type(error).__name__)
        finally:
            self.send(answer)


def _pop_fields(content: dict[str, Any]) -> Fields:
    """Take the form's fields out of the message, because the kernel keeps its last message."""
    fields = content.pop("fields", None)
    return {name: Secret(str(fields.pop(name))) for name in list(fields)} if isinstance(fields, dict) else {}


class _ViewSender:
    """Sends views to the browser, in one thread for all displays.

    A change often sets several traits, so changes are batched into one message.
    """

    #: Changes within this many seconds are sent as one view.
    BATCH_TIME = 0.02

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._scheduled: list[Display] = []
        self._thread: threading.Thread | None = None
        self._ended = False

    def schedule(self, display: Display) -> None:
        """Send a display's view soon. Can be called in any thread."""
        with self._condition:
            if self._ended:
                return
            if not any(display is due for due in self._scheduled):
                self._scheduled.append(display)
            if not HAS_THREADS:
                page_loop().call_later(self.BATCH_TIME, self.stop)
            elif self._thread is None:
                self._thread = threading.Thread(target=self._run, name="supabase-nb-displays", daemon=True)
                self._thread.start()
            self._condition.notify()

    def unschedule(self, display: Display) -> None:
        """Drop a scheduled view, because a newer one is being sent."""
        with self._condition:
            self._scheduled = [due for due in self._scheduled if due is not display]

    def stop(self) -> None:
        """Send the scheduled views and end the thread. The next `schedule` starts it again."""
        with self._condition:
            thread, self._thread = self._thread, None
            due, self._scheduled = self._scheduled, []
            self._condition.notify()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=5)
        _send_views(due)

    def shut_down(self) -> None:
        """Stop sending, because the kernel is shutting down.

        The kernel then deletes its variables, including clients. Their displays must not show "closed":
        in the browser, they say that the kernel stopped, and show the last known state.
        """
        with self._condition:
            self._ended = True
            self._scheduled.clear()
        self.stop()

    def _run(self) -> None:
        me = threading.current_thread()
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._scheduled or self._thread is not me)
                # Wait without the lock, so that more changes can be scheduled.
                self._condition.wait_for(lambda: self._thread is not me, timeout=self.BATCH_TIME)
                if self._thread is not me:
                    return
                due, self._scheduled = self._scheduled, []
            _send_views(due)
            del due


def _send_views(displays: list[Display]) -> None:
    for display in displays:
        try:
            display.send_view()
        except Exception:  # noqa: BLE001 - the other displays still get theirs
            _log.debug("a display could not be updated", exc_info=True)


view_sender = _ViewSender()
atexit.register(view_sender.shut_down)  # runs before IPython's, which was registered earlier
_displays: weakref.WeakKeyDictionary[AuthClient, dict[str, Display]] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def display_of(auth: AuthClient, kind: Kind) -> Display:
    """The display of this kind for this client: one widget, however often it is shown.

    Raises:
        ValueError: There is no such kind.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown display {kind!r}; valid: {', '.join(KINDS)}")
    with _lock:
        others = [] if auth in _displays else list(_displays.values())
        displays = _displays.setdefault(auth, {})
        display = displays.get(kind)
        if display is not None and display.is_disconnected:
            display.close()
            display = None
        if display is None:
            displays[kind] = display = Display(auth, kind)
    for other in others:  # with several clients, each display shows its client's name
        for shown in list(other.values()):
            view_sender.schedule(shown)
    return display
