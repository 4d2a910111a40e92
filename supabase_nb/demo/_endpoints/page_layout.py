"""The layout of the pages that users see: sign-in, consent, and the target of links."""

from __future__ import annotations

from starlette.responses import HTMLResponse

_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { margin: 12vh auto; max-width: 26rem; padding: 0 1rem; overflow-wrap: anywhere }
h1 { font-size: 1.25rem }
ul { margin: 1rem 0; padding: 0; list-style: none }
li { padding: .625rem 0; border-top: 1px solid #8885 }
"""


def html_page(title: str, body: str) -> HTMLResponse:
    """A page with this title and body, both HTML."""
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>'
    return HTMLResponse(f'<!doctype html><html lang="en">{head}<style>{_STYLE}</style>{body}</html>')
