"""Removes tokens from log records of this package, HTTP libraries and the kernel.

At DEBUG, httpcore and hpack log headers, websockets logs messages, and `comm` and the kernel log the
browser's messages. Only the tokens in these records are masked. Levels and handlers don't change.
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
from collections.abc import Iterable

from . import tokens
from .redaction import hide

#: The loggers whose records can contain tokens. All are listed, because a filter doesn't apply to child
# loggers.
LOGGERS = (
    "supabase_nb",
    "supabase_nb.demo",
    "httpx",
    "httpcore.connection",
    "httpcore.http11",
    "httpcore.http2",
    "httpcore.proxy",
    "httpcore.socks",
    "httpx2",
    "httpcore2.connection",
    "httpcore2.http11",
    "httpcore2.http2",
    "httpcore2.proxy",
    "httpcore2.socks",
    "hpack.hpack",
    "hpack.table",
    "websockets.client",
    "realtime._async.channel",
    "realtime._async.client",
    "realtime._async.push",
    "Comm",
)
logger = logging.getLogger("supabase_nb")
# Attributes that `logging` itself sets on a record. Others come from `extra`.
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
# What was typed into a form, in the message that brings it (`notebook/static/channel.mjs`): a password or a
# code is not known by its value or its shape, and a kernel at DEBUG logs messages before anyone reads them.
_TYPED = re.compile(
    r"""('type': 'ask', 'what': '[^'\\]*', 'id': '[^'\\]*', 'fields': )"""
    r"""\{(?:'\w+': (?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")(?:, )?)*\}"""
)


class RedactingFilter(logging.Filter):
    """Masks tokens in every record, and lets it pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact a record's message, its arguments, its traceback and its extra fields."""
        try:
            said = record.getMessage()
        except Exception:  # noqa: BLE001  (arguments that do not fit: `logging` would print them as they are)
            said = f"{record.msg} {record.args!r}"
        clean = _hidden(said)
        if clean != said:
            record.msg, record.args = clean, ()
        if record.exc_info and not record.exc_text:
            said = "".join(traceback.format_exception(*record.exc_info))
            clean = _hidden(said)
            if clean != said:
                record.exc_info, record.exc_text = None, clean.rstrip("\n")
        for name, value in record.__dict__.items():
            if isinstance(value, str) and (name not in _OWN or name in ("exc_text", "stack_info")):
                record.__dict__[name] = _hidden(value)
        return True


def _hidden(text: str) -> str:
    return _TYPED.sub(rf"\1{{{tokens.MASK}}}", hide(text))


_FILTER = RedactingFilter()


def install(loggers: Iterable[str | logging.Logger] = LOGGERS) -> None:
    """Mask tokens in these loggers' records. Can be called repeatedly.

    Args:
        loggers: Loggers or their names; by default, all that log our requests.
    """
    for named in loggers:
        (logging.getLogger(named) if isinstance(named, str) else named).addFilter(_FILTER)


def log_without_text(message: str) -> None:
    """Log the current exception by its type and place, because its text may contain a token."""
    kind, _, trace = sys.exc_info()
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "?"
    logger.error("%s (%s at %s)", message, kind.__name__ if kind else "?", place)
