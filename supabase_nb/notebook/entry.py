"""Token entry: a form in the browser, hidden prompts in a terminal; so tokens never stand in a cell."""

from __future__ import annotations

import sys
import threading
from html import escape
from typing import TYPE_CHECKING, Any, cast

from IPython.core.getipython import get_ipython

from ..errors import AuthError
from ..tokens import Secret
from . import fallback
from .arguments import SupabaseUsageError
from .assets import read_css, read_esm
from .paste import Pair, read_paste
from .show import publish
from .text import word
from .widgets import Display, Kind, one_of

if TYPE_CHECKING:
    from ..auth import AuthClient


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
                    response = auth.set_session(*read_paste(access_token, refresh_token))
                    answer["ok"] = True
                    answer["text"] = word("entry.restored", who=_who(response.user))
        except AuthError as error:
            answer["text"] = error.message
        finally:
            self.send(answer)

    def _ipython_display_(self, **_: object) -> None:
        auth = self._auth()
        if auth is not None:
            show_entry(auth)


def _who(user: Any) -> str:
    return str(user.email or user.phone or word("user.anonymous" if user.is_anonymous else "user.unnamed"))


def token_entry(auth: AuthClient) -> TokenEntry:
    """The form for this client: one model, however often it is shown."""
    return cast(TokenEntry, one_of(auth, "token_entry", lambda: TokenEntry(auth)))


def show_entry(auth: AuthClient) -> None:
    """Show the form, with what is left of it where nobody is behind it."""
    sentence = word("entry.snapshot")
    html = f'{fallback.STYLE}<div class="sb-snap"><p>{escape(sentence)}</p></div>'
    publish(token_entry(auth), sentence, html)


def can_show_form() -> bool:
    """Whether there is a kernel, and so perhaps a browser, and the widget libraries are there."""
    if getattr(get_ipython(), "kernel", None) is None:
        return False
    try:
        import anywidget  # noqa: F401
    except ImportError:
        return False
    return True


def ask_for_tokens() -> Pair:
    """Ask for both tokens with prompts that show nothing of what is typed.

    Raises:
        SupabaseUsageError: There is nobody to ask.
        AuthError: What was given is no pair of tokens.
    """
    ask = _prompt()
    if ask is None:
        raise SupabaseUsageError(word("entry.nobody"))
    answered = False
    try:
        first = Secret(ask(word("entry.prompt_access")))
        # A paste of both answers both questions.
        pair = read_paste(first) if first else None
        if pair is not None and not pair[1]:
            pair = read_paste(first, Secret(ask(word("entry.prompt_refresh"))))
        answered = pair is not None
    except EOFError:
        pass
    if not answered or pair is None:
        raise SupabaseUsageError(word("entry.nothing"))
    return pair


def _prompt() -> Any:
    """A function that asks without an echo, or ``None`` where nobody can be asked."""
    shell: Any = get_ipython()
    kernel = getattr(shell, "kernel", None)
    if kernel is not None:
        return kernel.getpass if getattr(kernel, "_allow_stdin", False) else None
    if not (sys.stdin and sys.stdin.isatty()):
        return None
    if getattr(shell, "pt_app", None) is not None:
        # Takes a paste of several lines as one answer, and lines longer than a terminal's 4096 characters.
        # The next lines of such a paste would otherwise become IPython's next input.
        from prompt_toolkit import PromptSession
        from prompt_toolkit.history import DummyHistory

        session: PromptSession[str] = PromptSession(is_password=True, history=DummyHistory())
        return session.prompt
    import getpass

    return getpass.getpass
