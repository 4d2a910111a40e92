"""Token entry: a form in the browser, so that tokens never stand in a cell."""

from __future__ import annotations

import logging
import re
import threading
from html import escape
from typing import TYPE_CHECKING, Any, cast

from ..errors import AuthError
from ..tokens import Secret
from . import fallback
from .assets import read_css, read_esm
from .paste import read_paste
from .show import publish
from .text import word
from .widgets import Display, Kind, one_of

if TYPE_CHECKING:
    from ..auth import AuthClient
    from ..models import AuthResponse

_CODE = re.compile(r"^\s*[\"'<]?\w+://\S*[?&](?:code|token_hash)=")


_log = logging.getLogger("supabase_nb")


class TokenEntry(Display):
    """The form for one client: `token_entry` makes it.

    What is typed or pasted travels once, from the browser to the kernel, as a message that no other browser
    sees. It is in no trait, and what goes back is a state: checking, who it is, or what was wrong.
    """

    _esm = read_esm("entry.mjs")
    _css = read_css("shared.css", "displays.css", "entry.css")

    def __init__(self, auth: AuthClient) -> None:
        super().__init__(auth, cast(Kind, "token_entry"))

    def _on_message(self, widget: object, content: object, buffers: object) -> None:
        if not isinstance(content, dict) or content.get("type") != "tokens":
            super()._on_message(widget, content, buffers)
            return
        # The kernel keeps the message that it works on until the next one comes: leave no token in it.
        tokens = [Secret(str(content.pop(name, ""))) for name in ("access_token", "refresh_token")]
        if self.open_client() is None:
            return
        submission = str(content.get("id"))
        with self._asking:
            if submission in self._wishes:
                return
            self._wishes.append(submission)
        threading.Thread(
            target=self._restore, args=(submission, *tokens), name="supabase-nb-entry", daemon=True
        ).start()

    def _restore(self, submission: str, access_token: Secret, refresh_token: Secret) -> None:
        self.send({"type": "taken", "id": submission})
        answer: dict[str, Any] = {"type": "answer", "id": submission, "ok": False, "text": ""}
        auth = self._auth()
        try:
            with self._at_work:
                if auth is not None:
                    response = _restored(auth, access_token, refresh_token)
                    answer["ok"] = True
                    lasts = response.session is None or response.session.refresh_token
                    restored = "entry.restored" if lasts else "entry.restored_once"
                    answer["text"] = word(restored, who=_who(response.user))
        except AuthError as error:
            answer["text"] = error.message
        except Exception as error:  # noqa: BLE001 - a thread has nobody to raise to; the form says that it failed
            _log.warning("token entry failed: %s", type(error).__name__)
        finally:
            self.send(answer)

    def _ipython_display_(self, **_: object) -> None:
        auth = self._auth()
        if auth is not None:
            show_entry(auth)


def _restored(auth: AuthClient, access_token: Secret, refresh_token: Secret) -> AuthResponse:
    # An address may hold a code instead of tokens: then signing in is what it takes.
    if _CODE.search(access_token.reveal()):
        return auth.sign_in_with_url(access_token)
    return auth.set_session(*read_paste(access_token, refresh_token))


def _who(user: Any) -> str:
    return str(user.email or user.phone or word("user.anonymous" if user.is_anonymous else "user.unnamed"))


def token_entry(auth: AuthClient) -> TokenEntry:
    """The form for this client: one model, however often it is shown."""
    return cast(TokenEntry, one_of(auth, "token_entry", lambda: TokenEntry(auth)))


def show_entry(auth: AuthClient) -> None:
    """Show the form, with what is left of it where nobody is behind it."""
    sentence = word("hint.closed" if auth.closed else "entry.snapshot")
    html = f'{fallback.STYLE}<div class="sb-snap"><p>{escape(sentence)}</p></div>'
    publish(token_entry(auth), sentence, html)
