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
from .masking import mask_for_logs

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
_STANDARD_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
# The fields of a form, in the message that sends them (`notebook/_displays/static/channel.mjs`). A password
# or code has no recognizable format, and with the level DEBUG, a kernel logs messages before handling them.
_FORM_FIELDS = re.compile(
    r"""('type': 'ask', 'what': '[^'\\]*', 'id': '[^'\\]*', 'fields': )"""
    r"""\{(?:'\w+': (?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")(?:, )?)*\}"""
)


class RedactingFilter(logging.Filter):
    """Masks tokens in every record, and lets it pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact a record's message, its arguments, its traceback and its extra fields."""
        try:
            text = record.getMessage()
        except Exception:  # noqa: BLE001  (the arguments don't match, so `logging` would print them unmasked)
            text = f"{record.msg} {record.args!r}"
        clean = _redacted(text)
        if clean != text:
            record.msg, record.args = clean, ()
        if record.exc_info and not record.exc_text:
            text = "".join(traceback.format_exception(*record.exc_info))
            clean = _redacted(text)
            if clean != text:
                record.exc_info, record.exc_text = None, clean.rstrip("\n")
        for name, value in record.__dict__.items():
            if isinstance(value, str) and (
                name not in _STANDARD_ATTRIBUTES or name in ("exc_text", "stack_info")
            ):
                record.__dict__[name] = _redacted(value)
        return True


def _redacted(text: str) -> str:
    return _FORM_FIELDS.sub(rf"\1{{{tokens.MASK}}}", mask_for_logs(text))


_FILTER = RedactingFilter()


def install(loggers: Iterable[str | logging.Logger] = LOGGERS) -> None:
    """Mask tokens in these loggers' records. Can be called repeatedly.

    Args:
        loggers: Loggers or their names; by default, all that log our requests.
    """
    for target in loggers:
        (logging.getLogger(target) if isinstance(target, str) else target).addFilter(_FILTER)


def log_without_text(message: str) -> None:
    """Log the current exception by its type and place, because its text may contain a token."""
    kind, _, trace = sys.exc_info()
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "?"
    logger.error("%s (%s at %s)", message, kind.__name__ if kind else "?", place)
