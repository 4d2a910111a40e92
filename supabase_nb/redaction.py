"""One redactor of known secret values, shared by cells, logs, errors and tracebacks.

A value is secret because of what it is, never because of the name beside it: every token that was given to
this package or came from a server (`remember`), and every JWT with the claims of a session or a service role,
and every secret key, recognised by its shape (`shapes`). All work is linear in the text's length.
"""

from __future__ import annotations

import base64
import binascii
import logging
import re
import threading
from collections.abc import Callable, Container, Iterable, Iterator
from typing import Literal, NamedTuple

from ._threads import run_soon
from .tokens import Secret, is_jwt, is_key, is_opaque, is_refresh_token, read_claims, redact, text_claim

#: What stands for each character of a secret. One byte, so that columns and carets keep their place.
MASK_CHARACTER = "*"
#: A shorter value may also be part of an ordinary word.
SHORTEST = 12
#: How many values are remembered; the oldest are forgotten.
AT_MOST = 512

Listener = Callable[[tuple[Secret, ...], bool], object]

_log = logging.getLogger("supabase_nb")
_lock = threading.Lock()
#: Each value, and whether a person passed it in; the newest last.
_remembered: dict[Secret, bool] = {}
# The same, the longest first; replaced, never changed, so that readers need no lock.
_known: tuple[Secret, ...] = ()
_listeners: list[Listener] = []

_RUN = re.compile(r"[A-Za-z0-9_.-]+", re.ASCII)
# Another server's refresh tokens may have any shape; this long, with a digit, they are no words.
_LONG = 20
_STAND_IN = re.compile("token|refresh|dummy|example|secret|holder|session")
_COLOR = re.compile(r"\x1b\[[0-9;]*m")
_KEY = "sb_secret_"
_COOKIE = "base64-eyJ"
_IN_JSON = re.compile(r'"(?:access|refresh)_token"\s{0,4}:\s{0,4}"([A-Za-z0-9_.-]+)"', re.ASCII)


class Shape(NamedTuple):
    """A secret that was recognised by its shape, and where it stands in a text."""

    start: int
    end: int
    kind: Literal["session", "key"]


def remember(*values: str | Secret, given: bool = False) -> None:
    """Mask these values from now on.

    Args:
        values: Tokens. What is too short, or has no token's shape, is left out.
        given: Whether a person passed them in, so that they may stand in a cell.
    """
    global _known
    secrets = tuple(secret for secret in map(Secret, values) if _is_token(secret))
    with _lock:
        new = [secret for secret in secrets if secret not in _remembered]
        for secret in secrets:
            _remembered[secret] = _remembered.pop(secret, False) or given
        for oldest in list(_remembered)[: max(0, len(_remembered) - AT_MOST)]:
            del _remembered[oldest]
        if new:
            _known = tuple(sorted(_remembered, key=lambda secret: -len(secret.reveal())))
    if given and secrets:
        _tell(secrets, given)
    elif new and _listeners:
        # Tokens of a server arrive on the owner loop, which must not wait for records to be cleaned.
        try:
            run_soon(_tell, secrets, given, name="supabase-nb-redaction")
        except RuntimeError:  # the interpreter is ending
            _tell(secrets, given)


def _tell(secrets: tuple[Secret, ...], given: bool) -> None:
    for listener in list(_listeners):
        try:
            listener(secrets, given)
        except Exception as error:  # noqa: BLE001 - a session must not fail because a record cannot be cleaned
            _log.warning("records of cells could not be cleaned: %s", type(error).__name__)


def was_given(secret: Secret) -> bool:
    """Whether this value is remembered as one that a person passed in."""
    return _remembered.get(secret, False)


def given(at_most: int = 64) -> tuple[Secret, ...]:
    """The values that a person passed in, the newest last."""
    with _lock:
        return tuple(secret for secret, given in _remembered.items() if given)[-at_most:]


def remember_pair(access_token: Secret, refresh_token: Secret) -> None:
    """Mask a pair that a person passed in.

    What was passed may be a slip: a key, or any word. So a word without a digit counts as a refresh token
    only beside a user's access token, and a JWT as an access token only if it is a session's.
    """
    pair = (access_token, refresh_token)
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
    """Mask what a person wrote behind a magic: an access token, and beside one a refresh token.

    Args:
        text: What was written.
        names: What names a variable is no token.
    """
    sessions = [Secret(text[each.start : each.end]) for each in shapes(text) if each.kind == "session"]
    if sessions:
        words = [Secret(word) for word in _RUN.findall(text)]
        others = [word for word in words if is_refresh_token(word) and word.reveal() not in names]
        remember(*sessions, *others, given=True)


def is_session_token(token: Secret) -> bool:
    """Whether this is a user's access token."""
    text = token.reveal()
    return any((shape.start, shape.end, shape.kind) == (0, len(text), "session") for shape in shapes(text))


def _is_token(secret: Secret) -> bool:
    """Whether a value can be a token: a stand-in, such as ``"dummy"``, must stay as it is in every cell."""
    text = secret.reveal()
    if len(text) < SHORTEST or (text.isalpha() and _STAND_IN.search(text)):
        return False
    long = len(text) >= _LONG and is_opaque(secret) and any(map(str.isdigit, text))
    return is_jwt(secret) or is_refresh_token(secret) or long


def listen(listener: Listener) -> Callable[[], None]:
    """Call `listener` with the values of each `remember` that is news; gives what ends that."""
    _listeners.append(listener)

    def stop() -> None:
        if listener in _listeners:
            _listeners.remove(listener)

    return stop


def known_in(text: str) -> set[Secret]:
    """The remembered values that stand in a text."""
    return {secret for secret in _known if secret.reveal() in text}


def mask(text: str, values: Iterable[Secret] | None = None) -> str:
    """`text` with a mask of the same length in the place of each secret.

    Args:
        text: Any text.
        values: Only these values, and no shapes; by default all that is secret.
    """
    for secret in _known if values is None else values:
        value = secret.reveal()
        if value in text:
            text = text.replace(value, MASK_CHARACTER * len(value))
    if values is not None:
        return text
    parts, end = [], 0
    for shape in shapes(text):
        parts += [text[end : shape.start], MASK_CHARACTER * (shape.end - shape.start)]
        end = shape.end
    return "".join(parts) + text[end:] if parts else text


def mask_colored(text: str) -> str:
    """`mask` for text with ANSI colours, which may cut a value in two: such a text loses its colours."""
    plain = _COLOR.sub("", text)
    masked, clean = mask(text), mask(plain)
    return masked if _COLOR.sub("", masked) == clean else clean


def hide(text: str) -> str:
    """`text` for logs and errors: without secret values, and without whatever a name calls a secret."""
    return mask(redact(text))


def shapes(text: str) -> Iterator[Shape]:
    """The secrets that show by their shape, in their order: JWTs, cookies that hold one, secret keys."""
    if "eyJ" not in text and _KEY not in text:
        return
    for run in _RUN.finditer(text):
        if "eyJ" in run[0] or _KEY in run[0]:
            yield from _in_run(run[0], run.start())


def _in_run(run: str, start: int) -> Iterator[Shape]:
    pieces = run.split(".")
    passed = 0  # pieces that belong to the token before
    for number, piece in enumerate(pieces):
        end = start + len(piece)
        if number >= passed:
            if (at := piece.find(_KEY)) >= 0:
                yield Shape(start + at, end, "key")
            elif (at := piece.find(_COOKIE)) >= 0 and tokens_in_cookie(piece[at:]):
                yield Shape(start + at, end, "session")
            elif (at := piece.find("eyJ")) >= 0 and (kind := _jwt_kind(piece[at:], pieces, number)):
                passed = number + 3
                whole = sum(map(len, pieces[number + 1 : passed])) + 2
                yield Shape(start + at, end + whole, kind)
        start = end + 1


def _jwt_kind(header: str, pieces: list[str], number: int) -> Literal["session", "key"] | None:
    if len(pieces) < number + 3 or not pieces[number + 1].startswith("eyJ"):
        return None
    claims = read_claims(Secret(".".join((header, *pieces[number + 1 : number + 3]))))
    role = text_claim(claims, "role")
    if text_claim(claims, "sub") and (role or text_claim(claims, "session_id")):
        return "session"
    return "key" if role not in (None, "anon") else None


def _decoded(cookie: str) -> str:
    """The (beginning of the) JSON in a cookie's base64; empty if there is none."""
    data = cookie.partition("base64-")[2]
    try:
        return base64.urlsafe_b64decode(data[: len(data) // 4 * 4]).decode(errors="replace")
    except (ValueError, binascii.Error):
        return ""


def tokens_in_cookie(cookie: str) -> list[Secret]:
    """The tokens in a session's JSON in base64, as supabase-ssr writes cookies."""
    return [Secret(token) for token in _IN_JSON.findall(_decoded(cookie))]
