"""A widget that shows the QR code of a new authenticator app without saving it."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING

import traitlets

from ..text import WORDS, grouped, word
from . import fallback
from .assets import read_css, read_esm
from .base_widget import BaseWidget
from .publishing import publish_widget

if TYPE_CHECKING:
    from ...models import AuthMFAEnrollResponseTotp


class Enrollment(BaseWidget):
    """Shows a QR code until the app was added.

    Synced traits are saved with notebooks, so the code is sent as a message.
    """

    _esm = read_esm("enrollment.mjs")
    _css = read_css("shared.css", "enrollment.css")

    words = traitlets.Dict(read_only=True).tag(sync=True)

    def __init__(self) -> None:
        self.set_trait("words", {name: text for name, text in WORDS.items() if name.startswith("mfa.")})
        super().__init__()


def show_enrollment(totp: AuthMFAEnrollResponseTotp) -> Callable[[bool], None]:
    """Show the QR code and the key.

    Returns:
        A function that removes both. Its argument says whether the app was added.
    """
    widget = Enrollment()
    image = totp.qr_code.partition(",")[2]
    # Sent before the view is drawn, because the browser can't request it while a cell is running.
    widget.send({"type": "show", "image": image, "key": grouped(totp.secret)})
    sentence = word("mfa.snapshot")
    publish_widget(widget.mimebundle(), sentence, fallback.snapshot([escape(sentence)]))

    def hide(done: bool) -> None:
        widget.send({"type": "over", "text": word("mfa.added" if done else "mfa.cancelled")})

    return hide
