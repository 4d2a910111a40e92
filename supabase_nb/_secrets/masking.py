"""Masks known secret values in cells, logs, errors and tracebacks.

A value is secret because of its contents, not because of its name: all tokens passed to this package or
received from a server (`remember`), all passwords passed to it (`remember_passwords`), all JWTs with the
claims of a session or service role, and all secret keys, recognized by their format (`token_search`). All
work is linear in the text's length.
"""

from __future__ import annotations

import html
import json
import logging
import re
import threading
from collections.abc import Callable, Container, Iterable
from functools import cache
from urllib.parse import quote, quote_plus

from .._runtime.background import run_in_background
from . import token_formats
from .token_search import find_tokens, refresh_token_after
from .tokens import MASK, Secret, is_jwt, is_key, is_opaque, is_refresh_token

#: Replaces each character of a secret. One byte, so that columns and carets stay aligned.
MASK_CHARACTER = "*"
#: Shorter values could be part of ordinary words.
MIN_TOKEN_LENGTH = 12
#: Minimum length of a masked password or code with letters and non-letters. Numbers and words could be part
#: of other text.
MIN_PASSWORD_LENGTH = 8
#: Minimum length of a masked password that consists of letters only.
MIN_PASSWORD_LENGTH_OF_LETTERS = 16
#: How many values are remembered. The oldest are forgotten.
MAX_REMEMBERED = 512
# Shorter secrets could be part of ordinary words.
_MIN_SUBSTRING_LENGTH = 8

Listener = Callable[[tuple[Secret, ...], bool], object]

_log = logging.getLogger("supabase_nb")
_lock = threading.Lock()
#: Each value, and whether the user passed it in. The newest is last.
_remembered: dict[Secret, bool] = {}
#: Those that are passwords or codes.
_passwords: set[Secret] = set()
# The same values, longest first. Replaced instead of changed, so that readers need no lock.
_known: tuple[Secret, ...] = ()
_listeners: list[Listener] = []

_TOKEN_CHARACTERS = re.compile(r"[A-Za-z0-9_.-]+", re.ASCII)
# Other servers' refresh tokens can have any format. With this length and a digit, they aren't words.
_MIN_OPAQUE_LENGTH = 20
_PLACEHOLDER = re.compile("token|refresh|dummy|example|secret|holder|session")
_COLOR = re.compile(r"\x1b\[[0-9;]*m")


def remember(*values: str | Secret, given: bool = False, certain: bool = False) -> None:
    """Mask these values from now on.

    Args:
        values: Tokens. Values that are too short or don't look like tokens are ignored.
        given: Whether the user passed them in, so that they may be in a cell.
        certain: Whether they are certainly secret, even if they look like words.
    """
    secrets = tuple(map(Secret, values))
    if not given and all(secret in _remembered for secret in secrets):
        return
    secrets = tuple(secret for secret in secrets if certain or secret in _remembered or _may_be_token(secret))
    new = _add(secrets, given=given)
    if given and secrets:
        _notify(secrets, given)
    elif new and _listeners:
        # Tokens from a server arrive on the owner loop, which must not wait until records are cleaned.
        try:
            run_in_background(_notify, secrets, given, name="supabase-nb-masking")
        except RuntimeError:  # the interpreter is shutting down
            _notify(secrets, given)


def remember_passwords(values: Iterable[Secret]) -> None:
    """Mask passwords and one-time codes that the user passed in. Only records are masked, not cells."""
    secrets = tuple(secret for secret in values if _is_long_password(secret.reveal()))
    _passwords.update(secrets)
    if _add(secrets, given=False):
        _notify(secrets, False)


def _is_long_password(text: str) -> bool:
    letters = sum(map(str.isalpha, text))
    if letters == len(text):
        return letters >= MIN_PASSWORD_LENGTH_OF_LETTERS
    return letters > 0 and len(text) >= MIN_PASSWORD_LENGTH


def is_password(secret: Secret) -> bool:
    """Whether this value is remembered as a password or code."""
    return secret in _passwords


def _add(secrets: tuple[Secret, ...], *, given: bool) -> bool:
    """Remember values. Returns whether one of them is new."""
    global _known
    with _lock:
        new = [secret for secret in secrets if secret not in _remembered]
        for secret in secrets:
            _remembered[secret] = _remembered.pop(secret, False) or given
        while len(_remembered) > MAX_REMEMBERED:
            oldest = next(iter(_remembered))
            del _remembered[oldest]
            _passwords.discard(oldest)
        if new:
            _known = tuple(sorted(_remembered, key=lambda secret: -len(secret.reveal())))
    return bool(new)


def _notify(secrets: tuple[Secret, ...], given: bool) -> None:
    for listener in list(_listeners):
        try:
            listener(secrets, given)
        except Exception as error:  # noqa: BLE001 - a session must not fail because a record cannot be cleaned
            _log.warning("records of cells could not be cleaned: %s", type(error).__name__)


def was_given(secret: Secret) -> bool:
    """Whether this value is remembered as passed in by the user."""
    return _remembered.get(secret, False)


def given_values(limit: int = 64) -> tuple[Secret, ...]:
    """The values that the user passed in, newest last."""
    with _lock:
        return tuple(secret for secret, given in _remembered.items() if given)[-limit:]


def remember_pair(access_token: Secret, refresh_token: Secret) -> None:
    """Mask the two tokens that the user passed in.

    They may be wrong values, such as a key or any word. So a word without a digit counts as a refresh token
    only together with a user's access token, and a JWT counts as an access token only if it is a session's.
    """
    pair = (access_token, refresh_token)
    if all(map(was_given, pair)):
        _add(pair, given=True)
        _notify(pair, True)
        return
    sessions = [token for token in pair if is_session_token(token)]
    others = [
        token
        for token in pair
        if token not in sessions
        and not is_jwt(token)
        and not is_key(token)
        and (sessions or (is_refresh_token(token) and not token.reveal().isalpha()))
    ]
    remember(*sessions, *others, given=True)


def remember_words(text: str, names: Container[str] = ()) -> None:
    """Mask tokens in a magic's arguments: an access token, and a refresh token after it.

    Args:
        text: The arguments.
        names: Names of variables, which aren't tokens.
    """
    sessions = [Secret(text[match.start : match.end]) for match in find_tokens(text) if match.is_session]
    if sessions:
        words = [Secret(word) for word in _TOKEN_CHARACTERS.findall(text)]
        others = [word for word in words if is_refresh_token(word) and word.reveal() not in names]
        remember(*sessions, *others, given=True)


def is_session_token(token: Secret) -> bool:
    """Whether this is a user's access token."""
    text = token.reveal()
    return any(match.is_session and (match.start, match.end) == (0, len(text)) for match in find_tokens(text))


def _may_be_token(secret: Secret) -> bool:
    """Whether a value can be a token. A placeholder such as ``"dummy"`` must not be masked."""
    text = secret.reveal()
    if len(text) < MIN_TOKEN_LENGTH or (text.isalpha() and _PLACEHOLDER.search(text)):
        return False
    long = len(text) >= _MIN_OPAQUE_LENGTH and is_opaque(secret) and any(map(str.isdigit, text))
    return is_jwt(secret) or is_refresh_token(secret) or long


def listen(listener: Listener) -> Callable[[], None]:
    """Call `listener` with new values. Returns a function that ends this."""
    _listeners.append(listener)

    def stop() -> None:
        if listener in _listeners:
            _listeners.remove(listener)

    return stop


def known_in(text: str) -> set[Secret]:
    """The remembered values in a text."""
    return {secret for secret in _known if secret.reveal() in text}


def mask(text: str, values: Iterable[Secret] | None = None) -> str:
    """`text` with each secret replaced by a mask of the same length.

    Args:
        text: Any text.
        values: Mask only these values; by default, all secrets.
    """
    for secret in _known if values is None else values:
        value = secret.reveal()
        if value in text:
            text = text.replace(value, MASK_CHARACTER * len(value))
    if values is not None:
        return text
    parts, end = [], 0
    for match in find_tokens(text):
        if match.is_public:
            continue
        parts += [text[end : match.start], MASK_CHARACTER * (match.end - match.start)]
        end = match.end
    return "".join(parts) + text[end:] if parts else text


def mask_colored(text: str) -> str:
    """`mask` for text with ANSI colors. If a color code splits a value, the text loses its colors."""
    plain = _COLOR.sub("", text)
    masked, clean = mask(text), mask(plain)
    return masked if _COLOR.sub("", masked) == clean else clean


def mask_for_logs(text: str) -> str:
    """`text` for logs and errors: without secret values, and without values that have a secret name."""
    return mask(mask_lookalikes(text))


@cache
def _masking_patterns() -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    """The pattern for `mask_lookalikes`, compiled on first use because that is slow."""
    jwt = re.compile(r"eyJ[A-Za-z0-9_=-]{5,}(?:\.[A-Za-z0-9_=-]*){0,2}", re.ASCII)
    key = re.compile(rf"{token_formats.KEY.pattern}|(?<=earer )[^\s\"',;•]{{8,}}", re.ASCII)
    named = re.compile(
        rf"""(?P<head>
              (?:{"|".join(token_formats.NAMES.values())}|{token_formats.OTHER_NAMES})
              (?: \\*["']?\s*[:=]\s*b?\\*["'] | \\*["'],\s*b?\\*["'] | \s*=\s*
                | :\s*(?=(?:Bearer\s|Basic\s)?\S{{8}}) )
            | (?<![A-Za-z0-9])(?:password|token|secret)
              (?: \\*["']\s*:\s*\\*["'] | \s*=\s*["']? )
            )
            (?!None\b|null\b|True\b|False\b)
            (?:(?:Bearer|Basic)\s+)?
            (?: (?<=["'])(?:[^"'\\]|\\+[a-z0-9])+ | (?<!["'])[^\s"'&,;)\]}}\\]+ )""",
        re.VERBOSE | re.IGNORECASE,
    )
    return jwt, key, named


def mask_lookalikes(text: str) -> str:
    """`text` without anything that looks like a token, key or password, whether or not it is known."""
    jwt, key, named = _masking_patterns()
    parts, end = [], 0
    for match in jwt.finditer(text):
        if match.start() >= end:
            parts += [text[end : match.start()], MASK]
            end = match.end()
            if span := refresh_token_after(text, end):
                parts += [text[end : span[0]], MASK]
                end = span[1]
    text = "".join(parts) + text[end:]
    return named.sub(lambda m: f"{m['head']}{MASK}", key.sub(MASK, text))


def mask_all_forms(text: str, secrets: Iterable[Secret]) -> str:
    """`text` with these secrets masked, also where they are URL-encoded, HTML-escaped or JSON-escaped."""
    forms: set[str] = set()
    for secret in secrets:
        value = secret.reveal()
        for form in (value, quote(value), quote(value, safe=""), quote_plus(value), html.escape(value)):
            # Nested JSON, as from a proxy, is escaped twice.
            once, ascii_only = json.dumps(form, ensure_ascii=False)[1:-1], json.dumps(form)[1:-1]
            forms |= {form, once, ascii_only, json.dumps(once)[1:-1], json.dumps(ascii_only)[1:-1]}
    # Short secrets are masked only as whole words: the password "a" must not break every sentence.
    patterns = [
        re.escape(form) if len(form) >= _MIN_SUBSTRING_LENGTH else rf"(?<!\w){re.escape(form)}(?!\w)"
        for form in sorted(forms - {""}, key=len, reverse=True)
    ]
    return re.sub("|".join(patterns), MASK, text, flags=re.IGNORECASE) if patterns else text


def safe_text(text: str, limit: int = 300, *, secrets: Iterable[Secret] = ()) -> str:
    """Make text from a server or page safe to show: remove tokens and control characters.

    Args:
        text: The text.
        limit: How many characters to keep.
        secrets: Secrets that were sent to the server, which its text may repeat.
    """
    # Before truncating, because half a secret isn't recognized.
    text = mask_lookalikes(mask_all_forms(text, secrets)[: 4 * limit])
    text = "".join(char if char.isprintable() else " " for char in text)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
