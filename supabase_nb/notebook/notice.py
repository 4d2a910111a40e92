"""The notice about tokens in cells: what was masked, what could not be reached, and what to do."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from html import escape
from typing import Any

from IPython.display import display

from ..tokens import Secret

_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
# As the displays' amber; the text colours have contrast on a light and on a dark page.
_STYLE = """<style>
.sb-cells { box-sizing: border-box; max-width: 600px; margin: 2px; border: 1px solid #b26a0066;
  border-radius: 10px; overflow: hidden; font-size: 13px; line-height: 1.5; overflow-wrap: anywhere }
.jp-RenderedHTMLCommon .sb-cells p, .sb-cells p { margin: 0; padding: 9px 16px }
.sb-cells p:first-child { background: #fdf3e0; color: #7a4900 }
.sb-cells p + p { border-top: 1px solid #b26a0033; font-size: 12px; opacity: .8 }
[data-jp-theme-light="false"] .sb-cells p:first-child { background: #35290f; color: #f0b860 }
</style>"""


@dataclass(frozen=True)
class Report:
    """What a browser did.

    Attributes:
        reachable: Whether it can edit cells at all.
        cells: The cells, counted from 1, whose text it cleaned.
        outputs: The cells whose outputs it cleaned.
        left: The cells that hold a value still.
    """

    reachable: bool
    cells: frozenset[int] = frozenset()
    outputs: frozenset[int] = frozenset()
    left: frozenset[int] = frozenset()


class Notice:
    """One notice: it collects until it is shown, and then changes as browsers report.

    Attributes:
        tokens: The tokens that were found. Their number is told.
        keys: The secret keys that a cell holds.
        passwords: The passwords and one-time codes that a cell holds.
        failed: What could not be cleaned, in words.
    """

    def __init__(self) -> None:
        self.tokens: set[Secret] = set()
        self.keys: set[Secret] = set()
        self.passwords: set[Secret] = set()
        self.failed: set[str] = set()
        self._in_kernel = True
        self._report: Report | None = None
        self._id: str | None = None

    @property
    def is_shown(self) -> bool:
        """Whether it is in the notebook, where it can change."""
        return self._id is not None

    def show(self, *, in_kernel: bool) -> None:
        """Show it: an amber card in a notebook, a line in a terminal."""
        self._in_kernel = in_kernel
        if not in_kernel:
            sys.stderr.write(f"supabase-nb: {self.text()}\n")
            sys.stderr.flush()
            return
        self._id = uuid.uuid4().hex
        self._publish()

    def add(self, report: Report, tokens: set[Secret]) -> None:
        """Take in what a browser reported."""
        before = (self._report, len(self.tokens))
        if self._report is not None:
            report = Report(
                self._report.reachable or report.reachable,
                self._report.cells | report.cells,
                self._report.outputs | report.outputs,
                report.left,
            )
        self._report = report
        self.tokens |= tokens
        if self.is_shown and (report, len(self.tokens)) != before:
            self._publish(update=True)

    def _publish(self, *, update: bool = False) -> None:
        data: dict[str, Any] = {"text/plain": self.text(), "text/html": self.html()}
        display(data, raw=True, display_id=self._id, update=update)  # type: ignore[no-untyped-call]

    # -- the words ----------------------------------------------------------------------------------------

    def text(self) -> str:
        """All of it in one line."""
        return " ".join(sentence for paragraph in self._paragraphs() for sentence in paragraph)

    def html(self) -> str:
        """The card. Reads well without its style sheet, which GitHub takes away."""
        paragraphs = [
            f"<p><strong>{escape(first)}</strong> {escape(' '.join(rest))}</p>" if number == 0
            else f"<p>{escape(' '.join((first, *rest)))}</p>"
            for number, (first, *rest) in enumerate(self._paragraphs())
        ]  # fmt: skip
        paragraphs = [each.replace(" Not reachable:", "<br>Not reachable:") for each in paragraphs]
        return f'{_STYLE}<div class="sb-cells mathjax_ignore tex2jax_ignore">{"".join(paragraphs)}</div>'

    def _paragraphs(self) -> list[list[str]]:
        paragraphs = []
        if self.tokens:
            them = "it" if len(self.tokens) == 1 else "them"
            paragraphs += [
                [self._title(), self._what(), *self._cells(them), self._beyond()],
                [
                    f"If someone may have seen {them}, run %supabase_sign_out --scope global.",
                    "Next time, run %supabase_set_session with no arguments to paste tokens unseen.",
                ],
            ]
        elif self.failed:
            paragraphs.append([f"Could not be searched for tokens: {', '.join(sorted(self.failed))}."])
        if self.keys:
            paragraphs.append(
                [
                    "This code contains a secret key.",
                    "It bypasses Row Level Security. It is masked in the history; the cell is left as it is.",
                    "If someone may have seen it, replace the key in the project's settings. "
                    "Read it from the environment instead: --key $SUPABASE_KEY.",
                ]
            )
        if self.passwords:
            masked = "It is in the cell still"
            if not self._history_failed:
                masked = "It is masked in the history, and in the cell still"
            paragraphs.append(
                [
                    "This code contains a password.",
                    f"{masked}: delete it there yourself, and save.",
                    "If someone may have seen it, change it.",
                    "Next time, run %supabase_sign_in: it asks for it.",
                ]
            )
        return paragraphs

    @property
    def _history_failed(self) -> bool:
        return any("history" in each for each in self.failed)

    def _title(self) -> str:
        report = self._report
        removed = report is not None and (report.cells or report.outputs) and not report.left
        noun = "Token" if len(self.tokens) == 1 else "Tokens"
        return f"{noun} removed." if removed else f"{noun} in a cell."

    def _what(self) -> str:
        number = len(self.tokens)
        count = _NUMBERS[number] if number < len(_NUMBERS) else str(number)
        subject = f"{count.capitalize()} token{'' if len(self.tokens) == 1 else 's'}"
        places = []
        if self._report is not None:
            if self._report.cells:
                places.append(f"in {_listed(self._report.cells)}")
            if self._report.outputs:
                places.append(f"in the outputs of {_listed(self._report.outputs)}")
        if not self._history_failed:
            places.append("in the history")
        if not places:
            return f"{subject} {'was' if len(self.tokens) == 1 else 'were'} found."
        return f"{subject} {'was' if len(self.tokens) == 1 else 'were'} masked {_joined(places)}."

    def _cells(self, them: str) -> list[str]:
        """What is true of the notebook's cells."""
        if not self._in_kernel:
            return []
        report = self._report
        if report is None:
            return [
                f"No front end has removed {them} from the cells: delete {them} there yourself, and save."
            ]
        if not report.reachable:
            return [
                f"This front end doesn't let extensions edit cells: delete {them} there yourself, and save."
            ]
        if report.left:
            return [f"{_listed(report.left).capitalize()} cannot be edited: delete {them} there yourself."]
        if not report.cells and not report.outputs:
            return [f"No cell of this notebook contains {them} in one piece."]
        return []

    def _beyond(self) -> str:
        beyond = sorted(self.failed)
        if self._in_kernel:
            beyond += ["the copy on disk until you save", "older checkpoints and copies"]
        else:
            beyond.append("what the screen still shows")
        return f"Not reachable: {', '.join(beyond)}."


def _listed(cells: Collection[int]) -> str:
    return f"cell{'' if len(cells) == 1 else 's'} {_joined([str(cell) for cell in sorted(cells)])}"


def _joined(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
