"""Texts with their encodings undone, which know where each character was."""

from __future__ import annotations

import html
import re
from bisect import bisect_right
from collections.abc import Iterator
from itertools import chain

# How many layers are undone: JSON in a URL in HTML in JSON is four.
_DEEPEST = 6
_UTF16 = re.compile(r"(?:[\x01-\xff]\0){4,}|(?:\0[\x01-\xff]){4,}")
# Each alternative begins in one place only and looks at most a little ahead, so that this takes linear time.
_ENCODED = re.compile(
    r"""
      (?<!\\)\\+ (?: u(?P<unicode>[0-9a-fA-F]{4}) | x(?P<byte>[0-9a-fA-F]{2}) | (?P<escaped>[^\\]) )
    | % (?P<percent>[0-9a-fA-F]{2})
    | & (?: \#(?P<number>\d{1,6}|[xX][0-9a-fA-F]{1,6}) | (?P<entity>[a-zA-Z]{2,8}) ) ;
    | </? (?P<tag>[a-zA-Z][a-zA-Z0-9]{0,10}) (?![^<>]{0,500}eyJ) [^<>]{0,500} >
    | (?P<style>\x1b\[[0-9;]{0,20}m)
    """,
    re.VERBOSE | re.ASCII,
)
# Tags within a word: a highlighted token has several.
_INLINE = {"a", "b", "code", "em", "font", "i", "mark", "s", "small", "span", "strong", "tt", "u", "wbr"}
_WHITE = {"n": "\n", "r": "\r", "t": "\t"}
# One escape of JSON, where it is certain that this is JSON.
_ESCAPE = re.compile(r'\\(?:u(?P<unicode>[0-9a-fA-F]{4})|(?P<escaped>.))|(?P<join>"\s*,\s*")', re.DOTALL)


class View:
    """A text made from another, and for each of its characters the place of the original.

    Attributes:
        text: The text.
    """

    def __init__(self, parent: View | None = None) -> None:
        self.text = ""
        self._parent = parent
        # A run of characters: where it begins in this text and in the other, and how much of that each takes.
        self._runs: list[tuple[int, int, int]] = []
        self._parts: list[str] = []
        self._length = 0

    def add(self, text: str, origin: int, step: int = 1) -> None:
        """Append a run of characters, each from `step` characters of the original."""
        if text:
            self._runs.append((self._length, origin, step))
            self._parts.append(text)
            self._length += len(text)

    def done(self) -> View:
        """This view, complete."""
        self.text = "".join(self._parts)
        self._parts = []
        return self

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where the characters from `start` up to `end` are in the original."""
        first, last = self._place(start)[0], self._place(end - 1)[1]
        return self._parent.span(first, last) if self._parent else (first, last)

    def _place(self, at: int) -> tuple[int, int]:
        begin, origin, step = self._runs[bisect_right(self._runs, at, key=lambda run: run[0]) - 1]
        place = origin + (at - begin) * step
        return place, place + step


def plain(text: str) -> View:
    """A text as it is."""
    view = View()
    view.add(text, 0)
    return view.done()


def views(view: View) -> Iterator[View]:
    """The view, and what it says when one layer of encodings after the other is undone."""
    if "\0" in view.text:
        # Before all else: nothing else can be seen in it.
        yield view
        view = _undone_utf16(view)
    for _ in range(_DEEPEST):
        yield view
        undone = _undone(view)
        if undone is None:
            return
        view = undone
    yield view


def json_lines(text: str, start: int, end: int, into: View) -> None:
    """Append the string, or the list of strings, that is JSON from `start` up to `end` of `text`."""
    at, end = text.find('"', start, end) + 1, text.rfind('"', start, end)
    for match in _ESCAPE.finditer(text, at, max(at, end)):
        into.add(text[at : match.start()], at)
        if match["join"] is None:
            into.add(_character(match), match.start(), len(match[0]))
        at = match.end()
    into.add(text[at : max(at, end)], at)


def _undone_utf16(view: View) -> View:
    text, at, result = view.text, 0, View(view)
    for match in _UTF16.finditer(text):
        result.add(text[at : match.start()], at)
        result.add(match[0].replace("\0", ""), match.start(), 2)
        at = match.end()
    result.add(text[at:], at)
    return result.done()


def _undone(view: View) -> View | None:
    text, at, result = view.text, 0, View(view)
    matches = _ENCODED.finditer(text)
    first = next(matches, None)
    if first is None:
        return None
    for match in chain((first,), matches):
        result.add(text[at : match.start()], at)
        result.add(_character(match), match.start(), len(match[0]))
        at = match.end()
    result.add(text[at:], at)
    return result.done()


def _character(match: re.Match[str]) -> str:
    """The character that an encoding means; none for what only separates or formats."""
    kind, found = match.lastgroup, match[match.lastgroup or 0]
    if kind == "escaped":
        return _WHITE.get(found, found)
    if kind in ("unicode", "byte", "percent"):
        return chr(int(found, 16))
    if kind == "number":
        code = int(found[1:], 16) if found[0] in "xX" else int(found)
        return chr(code) if code < 0x110000 else " "
    if kind == "entity":
        return " " if found == "nbsp" else html.unescape(f"&{found};")[0]
    return " " if kind == "tag" and found.lower() not in _INLINE else ""
