"""Static HTML and text for front ends without widgets. Both say that they are a snapshot."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Mapping
from html import escape

from ..text import WORDS, unnamed, word
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
#: ANSI colors of the states.
_COLORS: Mapping[str, str] = {
    "signed_out": "2",
    "restoring": "36",
    "active": "32",
    "refreshing": "36",
    "retrying": "33",
    "expired": "31",
    "closed": "2",
}

# A display has two outputs: this snapshot and the widget. The snapshot hides the widget until the kernel has
# responded to it once (`.sb-shown`), then hides itself. In a notebook opened without its kernel, front ends
# show an error instead of the widget, or a widget that looks live. Other outputs aren't hidden.
STYLE = """<style>
.jp-OutputArea-child:has(.sb-snap)
  + .jp-OutputArea-child:not(:has(.sb-shown, .jp-RenderedText pre:not(:empty))),
.jp-OutputArea-child:has(.sb-snap):has(+ .jp-OutputArea-child .sb-shown) { display: none }
.sb-snap { box-sizing: border-box; max-width: 600px; margin: 4px 2px; padding: 10px 16px;
  display: flex; flex-wrap: wrap; align-items: center; gap: 4px 12px;
  border: 1px solid rgba(128, 128, 128, .35); border-radius: 10px;
  font-size: 13px; line-height: 1.45; overflow-wrap: anywhere }
.jp-RenderedHTMLCommon .sb-snap p, .sb-snap p { flex: 1 0 100%; margin: 0 }
.jp-RenderedHTMLCommon .sb-snap p:first-child, .sb-snap p:first-child { flex: 1 1 160px }
.jp-RenderedHTMLCommon .sb-snap p:nth-child(2), .sb-snap p:nth-child(2) { flex: none; font-weight: 600;
  opacity: .75; max-width: 100% }
.sb-snap p:nth-child(n + 3), .sb-snap small { font-size: 12px; opacity: .75 }
.sb-snap.sb-snap-line { border: 0; margin: 0; padding: 2px }
.jp-RenderedHTMLCommon .sb-snap-line p:first-child, .sb-snap-line p:first-child { flex: none }
</style>"""


def line(view: View, *, color: bool = False) -> str:
    """One line for a terminal: status, user, expiry, project, next step.

    Args:
        view: The state (`describe`); email and ids are shortened here.
        color: With ANSI colors.
    """
    status = view["status"]
    state = f"{SHAPES[status]} {word(f'status.{status}')}"
    return _join_parts(view, f"\x1b[{_COLORS[status]}m{state}\x1b[0m" if color else state)


def plain(view: View) -> str:
    """A snapshot as one line of text with its time, for tools that show only text."""
    return f"{word('snapshot.title')}: {_join_parts(view, _status_at_snapshot(view))}"


def html(view: View, *, one_line: bool = False) -> str:
    """A snapshot as static HTML, for nbviewer, GitHub, nbconvert and notebooks opened without their kernel.

    Readable without its style sheet, which GitHub removes.

    Args:
        view: The state (`describe`); email and ids are shortened here.
        one_line: Only the user and the status, for the badge and the line.
    """
    view = masked(view)
    user = view["user"]
    who, host = escape(user_name(user) if user else word("panel.signed_out")), escape(_project(view))
    state = escape(_status_at_snapshot(view))
    if one_line:
        lines = [f"<strong>{who}</strong>", state]
    else:
        expires = expiry(view)
        more = [*([expires] if expires else []), *filter(None, (next_step(view),)), *_sentences(view)]
        if view["status"] != "closed":
            more.append(word("snapshot.note"))
        lines = [f"<strong>{who}</strong><br><small>{host}</small>", state, *(escape(text) for text in more)]
    return snapshot(lines, one_line=one_line)


def snapshot(lines: Iterable[str], *, one_line: bool = False) -> str:
    """HTML with the style that hides it next to a live widget."""
    body = "".join(f"<p>{text}</p>" for text in lines)
    # Front ends typeset text between dollar signs, except inside these classes (MathJax 3 and 2).
    kind = "sb-snap sb-snap-line" if one_line else "sb-snap"
    return f'{STYLE}<div class="{kind} mathjax_ignore tex2jax_ignore">{body}</div>'


def _join_parts(view: View, state: str) -> str:
    view = masked(view)
    hint = next_step(view)
    return " · ".join(
        (state, *_details(view), *([hint] if hint else []), *_sentences(view, "set_auth", "shared"))
    )


def _status_at_snapshot(view: View) -> str:
    """The status at the time of the snapshot, so that it doesn't look current later."""
    now = time.strftime("%Y-%m-%d %H:%M")
    return "○ " + word("snapshot.status", status=word(f"status.{view['status']}"), time=now)


def _details(view: View) -> list[str]:
    user, expires = view["user"], expiry(view)
    return [*([user_name(user)] if user else []), *([expires] if expires else []), _project(view)]


def _project(view: View) -> str:
    return f"{view['host']} · {view['client']}" if view["client"] else view["host"]


def _sentences(view: View, *names: str) -> list[str]:
    """The texts of the notices, or only of those with the given names."""
    secret = [word("panel.secret_key")] if view["secret_key"] else []
    return secret + [each["text"] for each in view["notices"] if not names or each["name"] in names]


def user_name(user: UserView) -> str:
    """The user's short name."""
    return user["name"] or unnamed(anonymous=user["anonymous"])


def expiry(view: View) -> str | None:
    """When the access token expires or expired, in local time; ``None`` without a token."""
    left = view["time_left"]
    if left is None:
        return None
    return word(
        "snapshot.expires" if left > 0 else "snapshot.expired",
        time=_format_time(time.time() + left, date=False),
    )


def next_step(view: View) -> str | None:
    """What the user should know or do now, if anything."""
    hint = WORDS.get(f"hint.{view['status']}", "").format(option=view["option"])
    return view["message"] or hint or None


def wants_color() -> bool:
    """Whether the terminal supports colors (https://no-color.org)."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and sys.stdout.isatty()


def _format_time(at: float, *, date: bool) -> str:
    # A huge `exp` is not a valid date.
    try:
        local = time.localtime(at)
    except (OverflowError, ValueError, OSError):
        return "–"
    if local.tm_year > 9999:
        return "–"
    today = time.strftime("%Y-%m-%d", local) == time.strftime("%Y-%m-%d")
    return time.strftime("%H:%M:%S" if today and not date else "%Y-%m-%d %H:%M:%S", local)
