"""The displays: panel, badge, user card, expiry, timeline and line, driven by a client's traits."""

from __future__ import annotations

import atexit
import logging
import threading
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, Literal, get_args

import traitlets

from .._background import HAS_THREADS, run_soon
from .._inline_loop import page_loop
from ..errors import AuthError
from ..tokens import Secret
from . import fallback
from .assets import read_css, read_esm
from .base_widget import BaseWidget
from .cell_notice import form_listeners
from .panel_requests import REQUESTS, Fields
from .provider_sign_in import PROVIDER_REQUESTS, name_of_provider
from .publishing import in_terminal, publish_line, publish_widget, running_cell, where_shown
from .text import WORDS
from .view import describe

if TYPE_CHECKING:
    from ..auth import AuthClient

#: "token_entry" is the panel with its form open; a "line" is for magics where another cell shows the panel.
Kind = Literal["badge", "user_card", "expiry", "timeline", "panel", "token_entry", "line"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_TRAITS = ["session", "user", "status", "last_event", "last_error", "next_refresh_at", "notices", "closed"]
_log = logging.getLogger("supabase_nb")


class Display(BaseWidget):
    """One display of one client: `display_of` makes it.

    It holds no state: it observes the client's traits and sends what they say as a message of its own. Traits
    that sync are saved with notebooks (nbclient does so by default), so only constants are among them.
    """

    _esm = read_esm("displays.mjs")
    _css = read_css("shared.css", "parts.css", "panel.css", "form.css", "providers.css", "second_factor.css")

    kind = traitlets.Unicode(read_only=True).tag(sync=True)
    words = traitlets.Dict(read_only=True).tag(sync=True)

    def __init__(self, auth: AuthClient, kind: Kind) -> None:
        # Weak: ipywidgets keeps every widget until it is closed, and that must not keep a client alive.
        self._auth = weakref.ref(auth, lambda _: view_sender.schedule(self))
        self._requests: deque[str] = deque(maxlen=64)
        self._asking = threading.Lock()
        self._at_work = threading.Lock()
        self._kind: Kind = kind
        self.set_trait("kind", kind)
        self.set_trait("words", dict(WORDS))
        super().__init__()
        self.on_msg(self._on_message)
        auth.observe(self._on_change, _TRAITS)

    def push(self) -> None:
        """Send what the client's traits say now to wherever this is displayed."""
        view_sender.unschedule(self)
        auth = self._auth()
        if auth is None:
            self.send({"type": "closed"})
            return
        if auth.closed:
            self._auth = weakref.ref(auth)  # after it was collected, nothing is sent
        self.send({"type": "view", "view": describe(auth)})

    def open_form(self, provider: str | None = None) -> None:
        """Open the form where this was displayed last, or is about to be.

        Args:
            provider: Let it offer to sign in with this provider first.
        """
        offered = {"name": provider, "label": name_of_provider(provider)} if provider else None
        self.send({"type": "open", "provider": offered})

    def close(self) -> None:
        """Stop observing, and close the widget. Can be called repeatedly."""
        if self.comm is None:
            return
        auth = self._auth()
        if auth is not None:
            auth.unobserve(self._on_change, _TRAITS)
        super().close()

    def open_client(self) -> AuthClient | None:
        """The client that a request from the page is for; ``None`` when it is closed or gone."""
        auth = self._auth()
        return None if auth is None or auth.closed else auth

    @property
    def cut_off(self) -> bool:
        """Whether its line is closed: marimo closes it when the cell that made it runs again."""
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
            cell, run = running_cell()
            shown = where_shown(auth)
            shown.cells.add(cell)
            shown.run, shown.whole = run, True
        # Send the state first, because the browser can't request it while a cell is running. It keeps the
        # state for the view that it is about to draw, and doesn't redraw existing views.
        self.push()
        if open_form:
            self.open_form(provider)
        view = describe(auth)
        one_line = self._kind in ("badge", "line")
        publish_widget(self.mimebundle(), fallback.plain(view), fallback.html(view, one_line=one_line))
        if open_form:
            for listener in list(form_listeners):
                listener()

    def _ipython_display_(self, **_: object) -> None:
        self.show(open_form=self._kind == "token_entry")

    def _on_change(self, change: object) -> None:
        # In whichever thread changed the trait, in the middle of a change.
        view_sender.schedule(self)

    def _on_message(self, _: object, content: object, buffers: object) -> None:
        # On the main thread (ipykernel 7.4) or on a subshell's: neither is held up by the network.
        if not isinstance(content, dict):
            return
        if content.get("type") == "hello":
            self.push()
        elif content.get("type") == "ask":
            fields = _taken_from(content)
            request, what = str(content.get("id")), content.get("what")
            if (what not in REQUESTS and what not in PROVIDER_REQUESTS) or self.open_client() is None:
                return
            with self._asking:
                if request in self._requests:
                    return
                self._requests.append(request)
            run_soon(self._handle_request, request, what, fields, name="supabase-nb-ask")

    def _handle_request(self, request: str, what: str, fields: Fields) -> None:
        self.send({"type": "taken", "id": request})
        answer: dict[str, Any] = {"type": "answer", "id": request, "ok": False, "text": ""}
        auth = self.open_client()
        try:
            with self._at_work:
                if auth is not None and what in PROVIDER_REQUESTS:
                    answer |= {**PROVIDER_REQUESTS[what](auth, fields, self.send), "ok": True}
                elif auth is not None:
                    answer |= {"text": REQUESTS[what](auth, fields), "ok": True}
        except AuthError as error:
            answer["text"] = error.message
        except Exception as error:  # noqa: BLE001 - a thread has no caller; the panel says that it failed
            _log.warning("%s failed: %s", what, type(error).__name__)
        finally:
            self.send(answer)


def _taken_from(content: dict[str, Any]) -> Fields:
    """Take the form's fields out of the message, because the kernel keeps its last message."""
    fields = content.pop("fields", None)
    return {name: Secret(str(fields.pop(name))) for name in list(fields)} if isinstance(fields, dict) else {}


class _ViewSender:
    """Sends views to the browser, in one thread for all displays.

    One change sets several traits: they go out as one message. It waits on a condition and costs nothing
    while nothing changes.
    """

    #: What changes within this time goes out as one view, in seconds.
    GATHER = 0.02

    def __init__(self) -> None:
        self._wake = threading.Condition()
        self._due: list[Display] = []
        self._thread: threading.Thread | None = None
        self._ended = False

    def schedule(self, display: Display) -> None:
        """Send this display's view soon. From any thread; sends nothing itself."""
        with self._wake:
            if self._ended:
                return
            if not any(display is due for due in self._due):
                self._due.append(display)
            if not HAS_THREADS:
                page_loop().call_later(self.GATHER, self.stop)
            elif self._thread is None:
                self._thread = threading.Thread(target=self._run, name="supabase-nb-displays", daemon=True)
                self._thread.start()
            self._wake.notify()

    def unschedule(self, display: Display) -> None:
        """Its view is being sent, so drop a pending one."""
        with self._wake:
            self._due = [due for due in self._due if due is not display]

    def stop(self) -> None:
        """Send what is due and end the thread; the next `schedule` starts one."""
        with self._wake:
            thread, self._thread = self._thread, None
            due, self._due = self._due, []
            self._wake.notify()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=5)
        _push(due)

    def end(self) -> None:
        """Stop sending.

        A kernel that ends empties its namespace, and the clients in it go. That must not close their
        displays: they say themselves that the kernel is gone, and what was known last.
        """
        with self._wake:
            self._ended = True
            self._due.clear()
        self.stop()

    def _run(self) -> None:
        me = threading.current_thread()
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._due or self._thread is not me)
                # Let go of the lock while the rest of the change arrives.
                self._wake.wait_for(lambda: self._thread is not me, timeout=self.GATHER)
                if self._thread is not me:
                    return
                due, self._due = self._due, []
            _push(due)
            del due


def _push(displays: list[Display]) -> None:
    for display in displays:
        try:
            display.push()
        except Exception:  # noqa: BLE001 - one display's trouble is not the others'
            _log.debug("a display could not be updated", exc_info=True)


view_sender = _ViewSender()
atexit.register(view_sender.end)  # before IPython's, which was there first
_displays: weakref.WeakKeyDictionary[AuthClient, dict[str, Display]] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def display_of(auth: AuthClient, kind: Kind) -> Display:
    """The display of this kind for this client: one model, however often it is shown.

    Raises:
        ValueError: There is no such kind.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown display {kind!r}; valid: {', '.join(KINDS)}")
    with _lock:
        others = [] if auth in _displays else list(_displays.values())
        displays = _displays.setdefault(auth, {})
        display = displays.get(kind)
        if display is not None and display.cut_off:
            display.close()
            display = None
        if display is None:
            displays[kind] = display = Display(auth, kind)
    for other in others:  # one of several clients shows its name
        for shown in list(other.values()):
            view_sender.schedule(shown)
    return display
