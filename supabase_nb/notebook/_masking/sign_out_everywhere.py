"""The button "Sign out everywhere" below a notice about tokens in cells."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import traitlets

from ..._runtime.background import run_in_background
from ..._secrets.masking import safe_text
from ..._secrets.tokens import Secret, read_claims
from ...errors import AuthError
from .._displays.assets import read_css, read_esm
from .._displays.base_widget import BaseWidget
from ..text import WORDS, word

if TYPE_CHECKING:
    from ...auth import AuthClient

_log = logging.getLogger("supabase_nb")


class SignOutEverywhereButton(BaseWidget):
    """A sign-out button that shows the result. Hidden until `reveal`.

    Args:
        sign_out: Signs out, and returns the text to show. Called in its own thread.
    """

    _esm = read_esm("sign_out_everywhere.mjs")
    _css = read_css("shared.css", "sign_out_everywhere.css")

    words = traitlets.Dict(read_only=True).tag(sync=True)

    def __init__(self, sign_out: Callable[[], str]) -> None:
        self._sign_out = sign_out
        self._revealed = False
        self._in_progress = threading.Lock()
        self._answer: dict[str, Any] | None = None
        self.set_trait("words", {key: text for key, text in WORDS.items() if key.startswith("cells.")})
        super().__init__()
        self.on_msg(self._on_message)

    def reveal(self) -> None:
        """Show the button, now and after a page reload."""
        self._revealed = True
        self.send({"type": "show"})

    def _on_message(self, _: object, content: object, buffers: object) -> None:
        if not isinstance(content, Mapping):
            return
        if content.get("type") == "hello" and self._revealed:
            self.send({"type": "show"})
            if self._answer is not None:
                self.send(self._answer)
        elif content.get("type") == "sign_out" and self._in_progress.acquire(blocking=False):
            run_in_background(self._handle_sign_out, name="supabase-nb-sign-out")

    def _handle_sign_out(self) -> None:
        answer = {"type": "answer", "ok": False, "text": word("cells.failed")}
        try:
            answer |= {"ok": True, "text": self._sign_out()}
        except AuthError as error:
            answer["text"] = error.message
        except Exception as error:  # noqa: BLE001 - a thread has no caller; the button says that it failed
            _log.warning("sign-out failed: %s", type(error).__name__)
        finally:
            self._answer = answer
            self._in_progress.release()
            self.send(answer)


def sign_out_everywhere(variables: Iterable[object], tokens: Collection[Secret]) -> str:
    """Sign out the user of these tokens with global scope, and return the user's name.

    Args:
        variables: The notebook's variables, including clients.
        tokens: The tokens found in cells. If none names a user, sign out the only signed-in user.

    Raises:
        AuthError: No client is signed in as that user, or the auth server rejected the request.
    """
    users = {(read_claims(token) or {}).get("sub") for token in tokens} - {None}
    signed_in = [auth for auth in _auth_clients(variables) if not auth.closed and auth.session and auth.user]
    if not users and len({auth.user.id for auth in signed_in if auth.user}) == 1:
        matching = signed_in
    else:
        matching = [auth for auth in signed_in if auth.user and auth.user.id in users]
    if not matching:
        raise AuthError(word("cells.no_client"))
    names = [auth.user.email or auth.user.phone or auth.user.id for auth in matching if auth.user]
    for auth in matching:
        auth.sign_out("global")
    return word("cells.signed_out", who=safe_text(", ".join(dict.fromkeys(names)), 100))


def _auth_clients(variables: Iterable[object]) -> list[AuthClient]:
    from ...auth import AuthClient
    from ...client import Client

    found = [value.auth if isinstance(value, Client) else value for value in variables]
    return list({id(auth): auth for auth in found if isinstance(auth, AuthClient)}.values())
