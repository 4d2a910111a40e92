"""Signing in with a provider from the panel: the kernel's part.

The page opens a window, and the kernel starts the sign-in, so that the verifier never leaves the kernel. The
window returns to a page on the notebook's own server. That page sends its URL to the panel, and the panel
sends it to the kernel. Without such a page (VS Code, marimo), the window returns to 127.0.0.1 on the kernel's
machine. If the browser runs on another machine, the user pastes the URL.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ..._runtime.background import run_in_background
from ..._runtime.environment import HAS_THREADS, IN_BROWSER
from ..._runtime.threadless_loop import page_loop
from ..._secrets.masking import safe_text
from ..._secrets.tokens import Secret
from ...auth._auth_server_settings import fetch_settings
from ...auth._browser_sign_in import LIFETIME, begin_with_provider
from ...errors import AuthError
from ..text import word
from .panel_requests import Fields, signed_in

if TYPE_CHECKING:
    from ...auth import AuthClient
    from ...auth._browser_sign_in import BrowserSignIn
    from ...models import SessionResponse
    from .._sign_in.loopback_listener import LoopbackListener

#: Sends a message to the pages that show the panel.
SendMessage = Callable[[dict[str, Any]], object]

#: Names that `str.title()` would get wrong.
_NAMES = {
    "azure": "Microsoft",
    "fly": "Fly.io",
    "github": "GitHub",
    "gitlab": "GitLab",
    "linkedin": "LinkedIn",
    "linkedin_oidc": "LinkedIn",
    "slack_oidc": "Slack",
    "twitter": "X (Twitter)",
    "workos": "WorkOS",
}


def provider_label(provider: str) -> str:
    """The provider's name for people, such as "GitHub"."""
    plain = provider.removeprefix("custom:").replace("_", " ").replace("-", " ")
    return _NAMES.get(provider.lower()) or safe_text(plain.title(), 40)


class _Attempt:
    """A sign-in that waits for the browser. Closes its listener when it times out."""

    def __init__(
        self, auth: AuthClient, sign_in: BrowserSignIn, listener: LoopbackListener | None, send: SendMessage
    ) -> None:
        self.id = secrets.token_hex(8)
        self.auth, self.sign_in, self.listener, self.send = auth, sign_in, listener, send
        self.ended = threading.Event()
        self.finish_lock = threading.Lock()
        if listener is not None:
            listener.finish = self.finish

    def finish(self, address: Secret) -> SessionResponse:
        """Sign in with the URL that the browser returned to."""
        with self.finish_lock:
            return self.sign_in.finish(address)

    def wait(self) -> None:
        """Wait until the browser returns to this machine, the sign-in ends, or it times out."""
        deadline = time.monotonic() + LIFETIME
        while not self.ended.wait(0.2) and time.monotonic() < deadline:
            if self.auth.closed or (self.listener is not None and self.listener.ended):
                break
        self.send_result()

    def send_result(self) -> None:
        """Send the listener's result to the panel, or that the sign-in timed out."""
        with self.finish_lock:
            pass  # wait, because the browser may have returned just in time
        if self.ended.is_set():
            return  # the result was already sent
        message: dict[str, Any] = {"type": "returned", "attempt": self.id, "ok": False}
        try:
            if self.listener is None:
                raise AuthError("", code="sign_in_timeout")
            message |= {"text": signed_in(self.listener.wait(0)), "ok": True}
        except AuthError as error:
            message["text"] = error.message
            if error.code == "sign_in_timeout":
                message["text"] = word("form.provider.timeout")
        _end_attempt(self)
        self.send(message)

    def close(self) -> None:
        self.ended.set()
        if self.listener is not None:
            self.listener.close()


#: Client's id -> its current sign-in, which refers to the client for a few minutes at most.
_attempts: dict[int, _Attempt] = {}
_lock = threading.Lock()


def _end_attempt(attempt: _Attempt | None) -> None:
    if attempt is None:
        return
    with _lock:
        if _attempts.get(id(attempt.auth)) is attempt:
            del _attempts[id(attempt.auth)]
    attempt.close()


def _find_attempt(auth: AuthClient, fields: Fields) -> _Attempt | None:
    attempt_id = fields.get("attempt", Secret("")).reveal()
    with _lock:
        attempt = _attempts.get(id(auth))
    return attempt if attempt is not None and attempt.id == attempt_id else None


def _return_page(fields: Fields) -> str:
    """The page of the notebook's server that the browser can return to; empty if there is none."""
    page = fields.get("return_page", Secret("")).reveal()
    return page if urlsplit(page).scheme in ("http", "https") else ""


def sign_in_options(auth: AuthClient, fields: Fields, send: SendMessage) -> dict[str, Any]:
    """The sign-in methods that the form offers besides passwords, codes and tokens."""
    settings = fetch_settings(auth)
    page = _return_page(fields)
    # A kernel in the browser can't listen on a port, so a provider needs a page to return to.
    offered = settings.providers[:40] if page or not IN_BROWSER else ()
    providers = [{"name": name, "label": provider_label(name)} for name in offered]
    providers.sort(key=lambda provider: provider["label"].lower())
    return {
        "text": "",
        "providers": providers,
        "anonymous": settings.anonymous,
        "email": settings.email or settings.phone,
    }


def begin(auth: AuthClient, fields: Fields, send: SendMessage) -> dict[str, Any]:
    """Start a sign-in with a provider. An unfinished earlier one is cancelled.

    `return_page` is the page of the notebook's server that the browser returns to, if there is one.
    """
    from .._sign_in.loopback_listener import LoopbackListener

    provider, page = fields.get("provider", Secret("")).reveal(), _return_page(fields)
    label = provider_label(provider)
    # If the provider was turned off, the window would show the server's error and never return.
    if provider not in fetch_settings(auth).providers:
        raise AuthError(word("form.provider.disabled", provider=label), code="provider_disabled")
    if not page and IN_BROWSER:
        raise AuthError(word("form.provider.impossible"), code="provider_disabled")
    listener = None if page else LoopbackListener()
    sign_in = begin_with_provider(auth, provider, page or listener.address)  # type: ignore[union-attr]
    attempt = _Attempt(auth, sign_in, listener, send)
    with _lock:
        earlier, _attempts[id(auth)] = _attempts.get(id(auth)), attempt
    if earlier is not None:
        earlier.close()
        text = word("form.provider.superseded")
        earlier.send({"type": "returned", "attempt": earlier.id, "ok": False, "text": text})
    if HAS_THREADS:
        run_in_background(attempt.wait, name="supabase-nb-provider")
    else:
        page_loop().call_later(LIFETIME, attempt.send_result)
    return {"text": "", "attempt": attempt.id, "url": sign_in.url, "nonce": sign_in.nonce.reveal()}


def finish(auth: AuthClient, fields: Fields, send: SendMessage) -> dict[str, Any]:
    """Sign in with the URL that the browser returned to, or that the user pasted."""
    attempt = _find_attempt(auth, fields)
    if attempt is None:
        raise AuthError(word("form.provider.over"), code="sign_in_timeout")
    with attempt.finish_lock:
        response = attempt.sign_in.finish(fields.get("returned_address", Secret("")))
        _end_attempt(attempt)
    return {"text": signed_in(response)}


def cancel(auth: AuthClient, fields: Fields, send: SendMessage) -> dict[str, Any]:
    """Cancel a sign-in."""
    _end_attempt(_find_attempt(auth, fields))
    return {"text": ""}


def sign_in_anonymously(auth: AuthClient, fields: Fields, send: SendMessage) -> dict[str, Any]:
    """Sign in as a new anonymous user."""
    response = auth.sign_in_anonymously()
    return {"text": signed_in(response)}


#: Request -> its handler. What it returns becomes part of the answer.
PROVIDER_HANDLERS: Mapping[str, Callable[[AuthClient, Fields, SendMessage], dict[str, Any]]] = {
    "sign_in_options": sign_in_options,
    "begin_with_provider": begin,
    "finish_with_provider": finish,
    "cancel_with_provider": cancel,
    "sign_in_anonymously": sign_in_anonymously,
}
