"""Runs a regular expression step by step, as `re` does, and counts the steps."""

import re
from collections.abc import Iterator

try:
    from re import _parser as parser
except ImportError:  # Python 3.10
    import sre_parse as parser

_SPACE = set(" \t\n\r\f\v")


class Work:
    """Steps taken for all matches of a pattern in a text, and the matches' spans."""

    def __init__(self, pattern: re.Pattern[str], text: str, limit: float = float("inf")) -> None:
        self.text, self.limit, self.steps = text, limit, 0
        self.spans: list[tuple[int, int]] = []
        items, at = list(parser.parse(pattern.pattern, pattern.flags)), 0
        while at <= len(text):
            self.groups: dict[int, bool] = {}
            end = next(self._run(items, 0, at), None)
            if end is not None:
                self.spans.append((at, end))
            at = at + 1 if end is None or end == at else end

    def _run(self, items: list, index: int, at: int) -> Iterator[int]:
        if index == len(items):
            yield at
            return
        self.steps += 1
        if self.steps > self.limit:
            raise AssertionError(f"more than {self.limit:.0f} steps")
        name, argument = str(items[index][0]), items[index][1]
        for end in getattr(self, f"_{name.lower()}", self._one)(name, argument, at):
            yield from self._run(items, index + 1, end)

    def _one(self, name: str, argument, at: int) -> Iterator[int]:
        if at < len(self.text) and _is(name, argument, self.text[at]):
            yield at + 1

    def _repeats(self, argument, at: int) -> Iterator[int]:
        # The bodies of our patterns match in one way only.
        low, high, body = argument
        body, done = list(body), 0
        while done < low:
            ended = next(self._run(body, 0, at), None)
            if ended is None:
                return
            at, done = ended, done + 1
        yield at
        while done < int(high):
            ended = next(self._run(body, 0, at), None)
            if ended is None or ended == at:
                return
            at, done = ended, done + 1
            yield at

    def _max_repeat(self, name: str, argument, at: int) -> Iterator[int]:
        for end in reversed(list(self._repeats(argument, at))):
            self.steps += 1
            yield end

    def _min_repeat(self, name: str, argument, at: int) -> Iterator[int]:
        yield from self._repeats(argument, at)

    def _subpattern(self, name: str, argument, at: int) -> Iterator[int]:
        for end in self._run(list(argument[3]), 0, at):
            self.groups[argument[0]] = True
            yield end
        self.groups.pop(argument[0], None)

    def _branch(self, name: str, argument, at: int) -> Iterator[int]:
        for choice in argument[1]:
            yield from self._run(list(choice), 0, at)

    def _groupref_exists(self, name: str, argument, at: int) -> Iterator[int]:
        yield from self._run(list(argument[1] if argument[0] in self.groups else argument[2] or []), 0, at)

    def _assert(self, name: str, argument, at: int) -> Iterator[int]:
        if self._looks(argument, at):
            yield at

    def _assert_not(self, name: str, argument, at: int) -> Iterator[int]:
        if not self._looks(argument, at):
            yield at

    def _looks(self, argument, at: int) -> bool:
        direction, body = argument
        start = at if direction > 0 else at - body.getwidth()[0]
        return start >= 0 and next(self._run(list(body), 0, start), None) is not None

    def _at(self, name: str, argument, at: int) -> Iterator[int]:
        rest = self.text[at : at + 2]
        if str(argument) == "AT_END" and (rest == "" or rest == "\n"):
            yield at
        elif str(argument) not in ("AT_END",):
            raise NotImplementedError(str(argument))


def _is(name: str, argument, char: str) -> bool:
    code = ord(char)
    if name == "LITERAL":
        return code == argument
    if name == "NOT_LITERAL":
        return code != argument
    if name == "ANY":
        return True
    if name == "RANGE":
        return argument[0] <= code <= argument[1]
    if name == "CATEGORY":
        plain = {
            "SPACE": char in _SPACE,
            "DIGIT": "0" <= char <= "9",
            "WORD": char == "_" or (char.isascii() and char.isalnum()),
        }
        kind = str(argument).removeprefix("CATEGORY_")
        return plain[kind] if kind in plain else not plain[kind.removeprefix("NOT_")]
    if name == "IN":
        negated = str(argument[0][0]) == "NEGATE"
        return negated != any(_is(str(each), what, char) for each, what in argument[negated:])
    raise NotImplementedError(name)
