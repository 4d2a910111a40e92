"""The parts of a notebook that can contain secrets, with their positions in the file."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .decoded_text import View, json_lines, plain

_WIDGETS = "application/vnd.jupyter.widget-state+json"
_DECODER = json.JSONDecoder(strict=False)
_BLANK = re.compile(r"[ \t\r\n]*")


@dataclass
class Member:
    """A member of an object or an item of a list: its key, and the positions of it and its value."""

    key: str
    start: int
    value: int
    end: int


@dataclass
class Holder:
    """An object or a list, and which of its members are removed completely."""

    inside: tuple[int, int]
    members: list[Member]
    removed: set[int] = field(default_factory=set)

    def cuts(self) -> Iterator[tuple[int, int]]:
        """The spans to cut, including commas between members."""
        if len(self.removed) == len(self.members):
            yield self.inside
            return
        kept = False
        for index, member in enumerate(self.members):
            if index not in self.removed:
                kept = True
            elif kept:
                yield self.members[index - 1].end, member.end
            else:
                yield member.start, self.members[index + 1].start


@dataclass(frozen=True)
class Part:
    """A part of a notebook.

    Attributes:
        view: Its text.
        places: Its locations (``cell 3, output 1``), and where they start in the file.
        whole: What to remove completely if it contains a secret; ``None``: only the secret. In outputs,
            attachments and widget state, the text around a secret is often part of it.
    """

    view: View
    places: list[tuple[int, str]]
    whole: tuple[Holder, int] | None = None

    def place(self, at: int) -> str:
        """The location of a secret that starts at this position in the file."""
        return self.places[max(0, bisect_right(self.places, at, key=lambda place: place[0]) - 1)][1]


class NotJson(Exception):
    """The file is not a JSON object with cells, so it is searched as text."""


def parts(text: str) -> Iterator[Part]:
    """Sources, outputs, attachments, metadata and widget state, for nbformat 3 and 4.

    Args:
        text: The file's bytes as Latin-1, so that positions are the same as in the file.

    Raises:
        NotJson: The file is not a JSON object, or its cells or metadata aren't objects.
    """
    start = _skip(text, 3 if text.startswith("\xef\xbb\xbf") else 0)
    try:
        whole, end = _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        raise NotJson from None
    if not _is_notebook(whole) or _skip(text, end) < len(text):
        raise NotJson
    notebook = _members(text, start)
    sheets = [sheet for member in notebook if member.key == "worksheets" for sheet in _below(text, member)]
    in_sheets = [member for sheet in sheets for member in _below(text, sheet)]
    holders = notebook + in_sheets
    cells = [
        _below(text, cell) for member in holders if member.key == "cells" for cell in _below(text, member)
    ]
    yield _sources(text, cells)
    for number, cell in enumerate(cells, 1):
        for member in cell:
            if member.key == "outputs":
                yield from _wholes(text, member, f"cell {number}, output {{number}}")
            elif member.key == "attachments":
                yield from _wholes(text, member, f"cell {number}, attachment")
            elif not _is_source(text, member):
                yield _rest(text, member, f"cell {number}, {_name(member)}")
    for member in in_sheets:
        if member.key != "cells":
            yield _rest(text, member, f"worksheet, {_name(member)}")
    for member in notebook:
        if member.key == "metadata":
            for item in _below(text, member):
                yield from _metadata(text, item)
        elif member.key not in ("cells", "worksheets"):
            yield _rest(text, member, f"notebook, {_name(member)}")


def _is_notebook(whole: Any) -> bool:
    """Whether it has the form of a notebook, as far as its parts are found by their names."""
    if not isinstance(whole, dict) or not isinstance(whole.get("metadata", {}), dict):
        return False
    sheets = whole.get("worksheets", [])
    if not _are_objects(sheets):
        return False
    return all(_are_objects(holder.get("cells", [])) for holder in (whole, *sheets))


def _are_objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def _sources(text: str, cells: list[list[Member]]) -> Part:
    """All sources as one text, because a session's two tokens can be in two cells."""
    view, places = View(), [(0, "notebook")]
    for number, cell in enumerate(cells, 1):
        for member in cell:
            if _is_source(text, member):
                places.append((member.value, f"cell {number}, source"))
                json_lines(text, member.value, member.end, view)
                view.add("\n", member.end, 0)
    return Part(view.done(), places)


def _metadata(text: str, item: Member) -> Iterator[Part]:
    kinds = _below(text, item) if item.key == "widgets" else []
    for kind in kinds:
        members = _below(text, kind)
        if not members:
            yield _rest(text, kind, "notebook, widgets")
        for member in members:
            if (kind.key, member.key) == (_WIDGETS, "state"):
                yield from _wholes(text, member, "widget state, model {name}")
            else:
                yield _rest(text, member, "notebook, widgets")
    if not kinds:
        yield _rest(text, item, f"notebook, {_name(item)}")


def _wholes(text: str, member: Member, place: str) -> Iterator[Part]:
    holder = Holder((member.value + 1, member.end - 1), _below(text, member))
    for index, item in enumerate(holder.members):
        try:
            value = _joined(_DECODER.raw_decode(text, item.value)[0])
            said = json.dumps({item.key: value}, ensure_ascii=False)
        except RecursionError:
            said = text[item.start : item.end]
        where = place.format(number=index + 1, name=_name(item)[:8])
        yield Part(plain(said), [(0, where)], (holder, index))
    if not holder.members:
        yield _rest(text, member, place.format(number=1, name=""))


def _rest(text: str, member: Member, place: str) -> Part:
    view = View()
    view.add(text[member.start : member.end], member.start)
    return Part(view.done(), [(0, place)])


def _is_source(text: str, member: Member) -> bool:
    if member.key not in ("source", "input"):
        return False
    items = _below(text, member) if text[member.value] == "[" else [member]
    return all(text[item.value] == '"' for item in items)


def _below(text: str, member: Member) -> list[Member]:
    return _members(text, member.value)


def _members(text: str, at: int) -> list[Member]:
    """The members of the object, or items of the list, at a position in valid JSON."""
    found: list[Member] = []
    opening, at = text[at], _skip(text, at + 1)
    while opening in "{[" and text[at] not in "]}":
        start, key = at, ""
        if opening == "{":
            key, at = _DECODER.raw_decode(text, at)
            at = _skip(text, _skip(text, at) + 1)  # the colon
        end = _DECODER.raw_decode(text, at)[1]
        found.append(Member(key, start, at, end))
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return found


def _skip(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    return found.end() if found else at


def _name(member: Member) -> str:
    try:
        return member.key.encode("latin-1").decode()
    except UnicodeError:
        return member.key


def _joined(value: Any) -> Any:
    """The value with every list of lines, Jupyter's format for texts, joined."""
    if isinstance(value, list):
        if value and all(isinstance(item, str) for item in value):
            return "".join(value)
        return [_joined(item) for item in value]
    if isinstance(value, dict):
        return {key: _joined(item) for key, item in value.items()}
    return value
