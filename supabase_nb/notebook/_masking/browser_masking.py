"""A widget without a view, through which the browser masks exact values in cells."""

from __future__ import annotations

import hashlib
import itertools
import secrets
from collections.abc import Callable
from typing import Any

from ..._secrets.tokens import Secret
from .._displays.assets import read_esm
from .._displays.base_widget import BaseWidget
from .masking_notice import BrowserReport, MaskingNotice


class BrowserMasker(BaseWidget):
    """Sends lengths and salted hashes to the browser, never values, and receives which cells it cleaned.

    This uses messages instead of traits, because traits are saved with notebooks.

    Args:
        report: Called with the notice, the browser's report, and the values that it found.
    """

    _esm = read_esm("browser_masking.mjs")

    def __init__(self, report: Callable[[MaskingNotice, BrowserReport, set[Secret]], object]) -> None:
        self._report = report
        self._last: tuple[tuple[Secret, ...], MaskingNotice] | None = None
        self._numbers = itertools.count(1)
        self._requests: dict[int, tuple[tuple[Secret, ...], MaskingNotice]] = {}
        super().__init__()
        self.on_msg(self._on_message)

    def mask(self, values: tuple[Secret, ...], notice: MaskingNotice) -> None:
        """Make every browser that shows the notebook mask these values, now and after a reload."""
        number, salt = next(self._numbers), secrets.token_hex(16)
        self._requests[number] = self._last = (values, notice)
        self._requests.pop(number - 16, None)
        hashed = [
            {
                "length": len(value.reveal()),
                "hash": hashlib.sha256((salt + value.reveal()).encode()).hexdigest(),
            }
            for value in values
        ]
        self.send({"type": "clean", "id": number, "salt": salt, "values": hashed})

    def _on_message(self, _: object, content: Any, buffers: object) -> None:
        if not isinstance(content, dict):
            return
        request = self._requests.get(content.get("id", 0))
        if content.get("type") == "ready" and self._last is not None:
            self.mask(*self._last)
        elif content.get("type") == "cleaned" and request is not None:
            values, notice = request
            report = BrowserReport(
                reachable=content.get("reachable") is True,
                cells=_numbers(content, "cells"),
                outputs=_numbers(content, "outputs"),
                remaining=_numbers(content, "left"),
            )
            found = {values[number] for number in _numbers(content, "found") if number < len(values)}
            self._report(notice, report, found)


def _numbers(content: dict[str, Any], name: str) -> frozenset[int]:
    """Validate a list of numbers from a browser."""
    given = content.get(name)
    return frozenset(item for item in given if type(item) is int) if isinstance(given, list) else frozenset()
