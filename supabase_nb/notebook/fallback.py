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
}
#: ANSI colours of the states.
_COLORS: Mapping[str, str] = {
    "signed_out": "2",
    "restoring": "36",
    "active": "32",
    "refreshing": "36",
    "retrying": "33",
    "expired": "31",
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


def plain(view: View, *, color: bool = False) -> str:
    """One line: state, user, expiry, project.

    Args:
        view: What is known (`describe`); e-mail and ids are shortened here.
        color: With ANSI colours, for a terminal.
    """
    view = masked(view)
    status = view["status"]
    head = f"{SHAPES[status]} {word(f'status.{status}')}"
    if color:
        head = f"\x1b[{_COLORS[status]}m{head}\x1b[0m"
    parts = [head]
    if view["user"]:
        parts.append(name(view["user"]))
    if expires := expiry(view):
        parts.append(expires)
    parts.append(view["host"])
    if hint := next_step(view):
        parts.append(hint)
    return " · ".join(parts)


def html(view: View) -> str:
    """The same as static HTML, for nbviewer, GitHub, nbconvert and notebooks opened without their kernel.

    Reads well without its style sheet, which GitHub takes away.
    """
    view = masked(view)
    status = view["status"]
    # "then": nothing here may look as if it were known to hold now.
    title = word("snapshot.title", time=_moment(time.time(), date=True))
    state = f"{SHAPES[status]} {word('snapshot.then', status=word(f'status.{status}').lower())}"
    facts = [f"<strong>{escape(state)}</strong>", escape(view["host"])]
    if view["user"]:
        facts.insert(1, escape(name(view["user"])))
    if expires := expiry(view):
        facts.insert(-1, escape(expires))
    lines = [f"<strong>{escape(title)}</strong>", " · ".join(facts)]
    lines += [escape(line) for line in (next_step(view), *view["notices"]) if line]
    lines.append(f"<em>{escape(word('snapshot.note'))}</em>")
    body = "".join(f"<p>{line}</p>" for line in lines)
    return f'{STYLE}<div class="sb-snap">{body}</div>'


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
    today = time.strftime("%Y-%m-%d", local) == time.strftime("%Y-%m-%d")
    return time.strftime("%H:%M:%S" if today and not date else "%Y-%m-%d %H:%M:%S", local)
