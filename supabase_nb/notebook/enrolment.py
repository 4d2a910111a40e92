"""The QR code of a new authenticator app: a widget that shows it, and that saves nothing of it."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING

import traitlets

from . import fallback
from .assets import read_css, read_esm
from .base_widget import BaseWidget
from .mfa import grouped
from .show import publish_widget
from .text import WORDS, word

if TYPE_CHECKING:
    from ..models import AuthMFAEnrollResponseTotp


class Enrolment(BaseWidget):
    """Shows the QR code that it is sent, until that is over.

    Traits that sync are saved with notebooks, so the code travels as a message.
    """

    _esm = read_esm("enrolment.mjs")
    _css = read_css("shared.css", "enrolment.css")

    words = traitlets.Dict(read_only=True).tag(sync=True)

    def __init__(self) -> None:
        self.set_trait("words", {name: text for name, text in WORDS.items() if name.startswith("mfa.")})
        super().__init__()


def show_enrolment(totp: AuthMFAEnrollResponseTotp) -> Callable[[bool], None]:
    """Show the QR code and the key.

    Returns:
        What takes both away again. It is told whether the app was added.
    """
    widget = Enrolment()
    image = totp.qr_code.partition(",")[2]
    # Before the view is drawn, which keeps it: while a cell runs, the browser gets no answer to a question.
    widget.send({"type": "show", "image": image, "key": grouped(totp.secret)})
    sentence = word("mfa.snapshot")
    publish_widget(widget.mimebundle(), sentence, fallback.snapshot([escape(sentence)]))

    def hide(done: bool) -> None:
        widget.send({"type": "over", "text": word("mfa.added" if done else "mfa.cancelled")})

    return hide
