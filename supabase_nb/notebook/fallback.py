"""What is shown where no widget runs: static HTML and text. Both say that they are a snapshot."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from html import escape

from .text import WORDS, word
from .view import UserView, View, masked

#: One shape per state, as in the live badge.
SHAPES: Mapping[str, str] = {
    "signed_out": "○",
    "restoring": "◐",
    "active": "●",
    "refreshing": "↻",
    "retrying": "▲",
    "expired": "✕",
    "closed": "⊖",
}
#: ANSI colours of the states.
_COLORS: Mapping[str, str] = {
    "signed_out": "2",
    "restoring": "36",
    "active": "32",
    "refreshing": "36",
    "retrying": "33",
    "expired": "31",
    "closed": "2",
}

# The two outputs of a display are this snapshot and the widget. The snapshot hides the widget until the
# kernel has answered it once (`.sb-shown`), and itself from then on: in a notebook opened without its kernel
# the front end has an error in the widget's place, or a widget that looks live. What else was printed stays.
STYLE = """<style>
.jp-OutputArea-child:has(.sb-snap)
  + .jp-OutputArea-child:not(:has(.sb-shown, .jp-RenderedText pre:not(:empty))),
.jp-OutputArea-child:has(.sb-snap):has(+ .jp-OutputArea-child .sb-shown) { display: none }
.sb-snap { box-sizing: border-box; max-width: 720px; margin: 2px; padding: 10px 16px;
  border: 1px dashed rgba(128, 128, 128, .55); border-radius: 10px;
  font-size: 13px; line-height: 1.5; overflow-wrap: anywhere }
.jp-RenderedHTMLCommon .sb-snap p, .sb-snap p { margin: 0 0 2px }
</style>"""


def line(view: View, *, color: bool = False) -> str:
    """One line for a terminal, true when it is printed: state, user, expiry, project, next step.

    Args:
        view: What is known (`describe`); e-mail and ids are shortened here.
        color: With ANSI colours.
    """
    status = view["status"]
    state = f"{SHAPES[status]} {word(f'status.{status}')}"
    return _joined(view, f"\x1b[{_COLORS[status]}m{state}\x1b[0m" if color else state)


def plain(view: View) -> str:
    """A snapshot as one line of text, for what shows nothing else of a notebook. Says when it was taken."""
    return f"{_title()}: {_joined(view, _then(view))}"


def html(view: View) -> str:
    """A snapshot as static HTML, for nbviewer, GitHub, nbconvert and notebooks opened without their kernel.

    Reads well without its style sheet, which GitHub takes away.
    """
    view = masked(view)
    state, *facts = (escape(fact) for fact in (_then(view), *_facts(view)))
    lines = [f"<strong>{escape(_title())}</strong>", " · ".join((f"<strong>{state}</strong>", *facts))]
    lines += [escape(text) for text in (next_step(view), *view["notices"]) if text]
    if view["status"] != "closed":
        lines.append(f"<em>{escape(word('snapshot.note'))}</em>")
    body = "".join(f"<p>{text}</p>" for text in lines)
    # Front ends typeset what stands between dollar signs, but not below these classes (MathJax 3 and 2).
    return f'{STYLE}<div class="sb-snap mathjax_ignore tex2jax_ignore">{body}</div>'


def _joined(view: View, state: str) -> str:
    view = masked(view)
    hint = next_step(view)
    return " · ".join((state, *_facts(view), *([hint] if hint else [])))


def _title() -> str:
    return word("snapshot.title", time=_moment(time.time(), date=True))


def _then(view: View) -> str:
    """The state as it was: nothing that is kept may look as if it were known to hold now."""
    status = view["status"]
    return f"{SHAPES[status]} {word('snapshot.then', status=word(f'status.{status}').lower())}"


def _facts(view: View) -> list[str]:
    user, expires = view["user"], expiry(view)
    return [*([name(user)] if user else []), *([expires] if expires else []), view["host"]]


def name(user: UserView) -> str:
    """Who it is, in a word."""
    if user["name"]:
        return user["name"]
    return word("user.anonymous" if user["anonymous"] else "user.unnamed")


def expiry(view: View) -> str | None:
    """When the access token expires or expired, in local time; ``None`` without a token."""
    left = view["time_left"]
    if left is None:
        return None
    return word(
        "snapshot.expires" if left > 0 else "snapshot.expired", time=_moment(time.time() + left, date=False)
    )


def next_step(view: View) -> str | None:
    """What a person should know or do now, if anything."""
    return view["message"] or WORDS.get(f"hint.{view['status']}")


def wants_color() -> bool:
    """Whether the terminal takes colours (https://no-color.org)."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and sys.stdout.isatty()


def _moment(at: float, *, date: bool) -> str:
    # A huge `exp` is no date.
    try:
        local = time.localtime(at)
    except (OverflowError, ValueError, OSError):
        return "–"
    if local.tm_year > 9999:
        return "–"
    today = time.strftime("%Y-%m-%d", local) == time.strftime("%Y-%m-%d")
    return time.strftime("%H:%M:%S" if today and not date else "%Y-%m-%d %H:%M:%S", local)
