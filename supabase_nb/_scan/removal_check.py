"""Checks whether a file still contains a removed secret, in any encoding."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable

from .._secrets.tokens import Secret
from .decoded_text import plain, views

# Secrets are recognized by their last characters, which are the signature's for a JWT.
_LENGTH = 12
_RUN = re.compile(rf"[A-Za-z0-9_./~+=-]{{{_LENGTH},}}", re.ASCII)


def holds_any(text: str, values: Iterable[Secret]) -> bool:
    """Whether a text contains one of these values, also within a longer word or in another encoding."""
    ends = {form[-_LENGTH:] for value in values for form in _forms(value.reveal())}
    return any(
        word[at : at + _LENGTH] in ends
        for layer in views(plain(text))
        for word in _RUN.findall(layer.text)
        for at in range(len(word) - _LENGTH + 1)
    )


def _forms(value: str) -> set[str]:
    data = value.encode("latin-1")
    forms = {value, data.hex(), data.hex().upper()}
    for before in range(3):
        # Only the part that doesn't depend on the characters around the secret.
        encoded = base64.b64encode(b"\0" * before + data).rstrip(b"=").decode()
        whole = encoded[: (before + len(data)) * 8 // 6]
        forms |= {whole, whole.replace("+", "-").replace("/", "_")}
    return {form for form in forms if len(form) >= _LENGTH}
