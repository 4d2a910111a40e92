"""The notice about tokens in cells: what was masked, what wasn't, and what to do."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from IPython.display import display

from ..._secrets.tokens import Secret

if TYPE_CHECKING:
    from .sign_out_everywhere import SignOutEverywhereButton

_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
# The displays' amber. Text colors have enough contrast on light and dark pages.
_STYLE = """<style>
.sb-cells { box-sizing: border-box; max-width: 600px; margin: 2px; border: 1px solid #b26a0066;
  border-radius: 10px; overflow: hidden; font-size: 13px; line-height: 1.5; overflow-wrap: anywhere }
.jp-RenderedHTMLCommon .sb-cells p, .sb-cells p { margin: 0; padding: 9px 16px }
.sb-cells p:first-child { background: #fdf3e0; color: #7a4900 }
.sb-cells p + p { border-top: 1px solid #b26a0033; font-size: 12px; opacity: .8 }
[data-jp-theme-light="false"] .sb-cells p:first-child { background: #35290f; color: #f0b860 }
%s</style>"""
# With the button, which is the next output. It forms one card with it while the kernel runs, then disappears.
_STYLE_WITH_BUTTON = (
    _STYLE
    % """
.jp-OutputArea-child:has(.sb-cells):has(+ .jp-OutputArea-child .sb-sign-out.sb-shown) .sb-cells {
  border-bottom: 0; border-radius: 10px 10px 0 0; margin-bottom: 0 }
.jp-OutputArea-child:has(.sb-cells) + .jp-OutputArea-child:not(:has(.sb-sign-out.sb-shown)) { display: none }
"""
)
_STYLE %= ""


@dataclass(frozen=True)
class BrowserReport:
    """A browser's report.

    Attributes:
        reachable: Whether it can edit cells.
        cells: The numbers, from 1, of the cells whose source it cleaned.
        outputs: Those whose outputs it cleaned.
        remaining: Those that still contain a value.
    """

    reachable: bool
    cells: frozenset[int] = frozenset()
    outputs: frozenset[int] = frozenset()
    remaining: frozenset[int] = frozenset()


class NoticeOutput:
    """The outputs of a notice in a notebook: its text, which can change, and its button.

    Args:
        button: The sign-out button; ``None`` without widgets.
    """

    def __init__(self, button: SignOutEverywhereButton | None) -> None:
        self.button = button
        #: The notice that this output shows.
        self.notice: MaskingNotice | None = None
        self._id = uuid.uuid4().hex
        self._is_open = False

    def show(self, data: dict[str, Any]) -> None:
        """Show the output and the button below it, or update the output."""
        display(data, raw=True, display_id=self._id, update=self._is_open)  # type: ignore[no-untyped-call]
        if self.button is not None and not self._is_open:
            bundle, metadata = self.button.mimebundle()
            display({**bundle, "text/plain": ""}, metadata=metadata, raw=True)  # type: ignore[no-untyped-call]
        self._is_open = True

    def close(self) -> None:
        """Remove the button. The text stays."""
        if self.button is not None:
            self.button.close()
            self.button = None


class MaskingNotice:
    """A notice. It collects values until it is shown, and is then updated by browsers' reports.

    Attributes:
        tokens: The tokens that were found. The notice shows their number.
        keys: The secret keys in a cell.
        passwords: The passwords and one-time codes in a cell.
        failed: Descriptions of records that could not be cleaned.
    """

    def __init__(self) -> None:
        self.tokens: set[Secret] = set()
        self.keys: set[Secret] = set()
        self.passwords: set[Secret] = set()
        self.failed: set[str] = set()
        self._in_kernel = True
        self._report: BrowserReport | None = None
        self._output: NoticeOutput | None = None

    @property
    def is_shown(self) -> bool:
        """Whether it is shown in the notebook, where it can be updated."""
        return self._output is not None

    def write(self) -> None:
        """Show it as a line in a terminal."""
        self._in_kernel = False
        sys.stderr.write(f"supabase-nb: {self.text()}\n")
        sys.stderr.flush()

    def show(self, output: NoticeOutput) -> None:
        """Show it as an amber card in a notebook, replacing the previous notice in this output."""
        earlier, output.notice = output.notice, self
        self._output = output
        if earlier is not None:
            earlier._output = None
            self.tokens |= earlier.tokens
            if earlier._report is not None:
                self._merge(earlier._report)
        self._publish()

    def add(self, report: BrowserReport, tokens: set[Secret]) -> None:
        """Add a browser's report."""
        before = (self._report, len(self.tokens))
        self._merge(report)
        self.tokens |= tokens
        if self.is_shown and (self._report, len(self.tokens)) != before:
            self._publish()

    def _merge(self, report: BrowserReport) -> None:
        if self._report is not None:
            report = BrowserReport(
                self._report.reachable or report.reachable,
                self._report.cells | report.cells,
                self._report.outputs | report.outputs,
                report.remaining,
            )
        self._report = report

    def _publish(self) -> None:
        if self._output is None:
            return
        self._output.show({"text/plain": self.text(), "text/html": self.html()})
        if self.tokens and self._output.button is not None:
            self._output.button.reveal()

    # -- text ---------------------------------------------------------------------------------------------

    def text(self) -> str:
        """The notice in one line."""
        return " ".join(sentence for paragraph in self._paragraphs() for sentence in paragraph)

    def html(self) -> str:
        """The card. Readable without its style sheet, which GitHub removes."""
        paragraphs = [
            f"<p><strong>{escape(first)}</strong> {escape(' '.join(rest))}</p>" if number == 0
            else f"<p>{escape(' '.join((first, *rest)))}</p>"
            for number, (first, *rest) in enumerate(self._paragraphs())
        ]  # fmt: skip
        paragraphs = [text.replace(" Not reachable:", "<br>Not reachable:") for text in paragraphs]
        style = _STYLE_WITH_BUTTON if self._output is not None and self._output.button is not None else _STYLE
        return f'{style}<div class="sb-cells mathjax_ignore tex2jax_ignore">{"".join(paragraphs)}</div>'

    def _paragraphs(self) -> list[list[str]]:
        paragraphs = []
        if self.tokens:
            them = "it" if len(self.tokens) == 1 else "them"
            paragraphs += [
                [self._title(), self._summary(), *self._cell_sentences(them), self._unreachable_copies()],
                [
                    f"If someone may have seen {them}, run %supabase_sign_out --scope global.",
                    "Next time, run %supabase_set_session with no arguments to paste the tokens into a form.",
                ],
            ]
        elif self.failed:
            paragraphs.append([f"Not searched for tokens: {', '.join(sorted(self.failed))}."])
        if self.keys:
            paragraphs.append(
                [
                    "This code contains a secret key.",
                    "It bypasses Row Level Security. It is masked in the history, but not in the cell.",
                    "If someone may have seen it, replace the key in the project's settings. "
                    "Read it from the environment instead: --key $SUPABASE_KEY.",
                ]
            )
        if self.passwords:
            masked = "It is still in the cell"
            if not self._history_failed:
                masked = "It is masked in the history, but still in the cell"
            paragraphs.append(
                [
                    "This code contains a password.",
                    f"{masked}. Delete it there, and save.",
                    "If someone may have seen it, change the password.",
                    "Next time, run %supabase_sign_in, which asks for it.",
                ]
            )
        return paragraphs

    @property
    def _history_failed(self) -> bool:
        return any("history" in text for text in self.failed)

    def _title(self) -> str:
        report = self._report
        removed = report is not None and (report.cells or report.outputs) and not report.remaining
        noun = "Token" if len(self.tokens) == 1 else "Tokens"
        return f"{noun} removed." if removed else f"{noun} in a cell."

    def _summary(self) -> str:
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

    def _cell_sentences(self, them: str) -> list[str]:
        """The sentences about the notebook's cells."""
        if not self._in_kernel:
            return []
        report = self._report
        if report is None:
            return [
                f"The cells haven't been checked yet. If one shows {them}, delete {them} there, and save."
            ]
        if not report.reachable:
            return [f"This front end doesn't let extensions edit cells. Delete {them} there, and save."]
        if report.remaining:
            return [
                f"{_listed(report.remaining).capitalize()} can't be edited. Delete {them} there yourself."
            ]
        if not report.cells and not report.outputs:
            return [f"No cell of this notebook contains {them} in one piece."]
        return []

    def _unreachable_copies(self) -> str:
        copies = sorted(self.failed)
        if self._in_kernel:
            copies += ["the copy on disk until you save", "older checkpoints and copies"]
            copies.append("other browsers that had this notebook open")
        else:
            copies.append("text that is still on the screen")
        return f"Not reachable: {', '.join(copies)}."


def _listed(cells: Collection[int]) -> str:
    return f"cell{'' if len(cells) == 1 else 's'} {_joined([str(cell) for cell in sorted(cells)])}"


def _joined(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
