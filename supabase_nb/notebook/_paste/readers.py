"""Reads pasted text in the forms that `paste` lists. Each reader adds what it finds to `Findings`."""

from __future__ import annotations

import ast
import base64
import binascii
import json
import re
import unicodedata
import warnings
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from ..._secrets import masking
from ..._secrets.token_search import looks_like_refresh_token
from ..._secrets.tokens import (
    Secret,
    clean,
    is_opaque,
    is_refresh_token,
    key_name,
    read_claims,
    signature_is_whole,
)
from .findings import (
    NEITHER,
    TWO_SESSIONS,
    Findings,
    Pair,
    is_access_token,
    to_token,
)

_MAX_WORDS = 200
_MAX_JWT = 16 * 1024
_MAX_DEPTH = 8  # HAR, what browsers copy of a request, is seven deep
_JSON = json.JSONDecoder(strict=False)
# Word processors' quotes, and invisible characters that are not format characters.
_STRAIGHT = str.maketrans("“”„‟‘’‚‛«»", '""""\'\'\'\'""')
_BLANK = dict.fromkeys([*range(0xFE00, 0xFE10), 0x034F, 0x115F, 0x1160, 0x3164, 0xFFA0])
_BRACKETED = re.compile(r"\x1b\[20[01]~")
# A name and what separates it from its value. It starts at a word's start, so that scanning stays linear.
_ENTRY = re.compile(r"(?<![\w.-])([\w.-]{1,128})[\"']? ?([\t:=]) ?|\{")
_OBJECT = re.compile(r"\"?\{\s{0,40}[\"}]")
_PART = re.compile(r"(.+)\.(\d{1,2})")
_ROW, _BARE = re.compile(r"[^\t\r\n]*"), re.compile(r"[\"']?([^\s;,\"'\\^]*)")
_LABELED = re.compile(
    r"""(?<![A-Za-z0-9_-]) (?:\w{0,40}supabase_|(?:sb|user|session)[_-])? (access|refresh)[_ -]?token
        \\?["'`]? \s{0,8} [:=] \s{0,8} (?:b(?=["']))?(\\?["'`]|) ([A-Za-z0-9_.-]+) (?![A-Za-z0-9_.+/~%])\2""",
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)
_BEARER = re.compile(r"\bBearer\s{1,8}([A-Za-z0-9_.-]+)", re.IGNORECASE | re.ASCII)
# A single string. Python would join two adjacent ones.
_STRING = re.compile(r"""b?"(?:[^"\\]|\\.)*"|b?'(?:[^'\\]|\\.)*'""", re.DOTALL)
_BASE64 = re.compile(r"[A-Za-z0-9_\s+/-]+(?:=|%3D){0,2}", re.ASCII)
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]{0,40}://|[#?&]?\w{1,40}=[^\s;]*&|[#?]\w{1,40}=", re.IGNORECASE)
_TOKEN = re.compile(r"[A-Za-z0-9_.-]+", re.ASCII)
_CAMEL_CASE = {"accessToken": "access_token", "refreshToken": "refresh_token"}
# In the repr of supabase-py's response, the user comes before the session.
_SESSION = re.compile(r"\bsession['\"]?(?:=|: ?)(?:Session\(|\{)")
_POWERSHELL_COOKIE = re.compile(r'System\.Net\.Cookie\("([^"]{1,128})", "([^"]*)"')
# What is around unlabeled tokens in a list or in Python.
_AROUND = re.compile(
    r"(?<!\S)(?:(?:[*•–-]|\d{1,2}[.)])(?=\s)|%?[\w.]{0,40}set_session\b|(?:at|rt) ?[:=]|at, rt =)"
)
_SEPARATORS = re.compile(r"[\s,;|()\[\]]+")

_CUT_OFF = "This looks like JSON but is not complete or not valid. Copy the whole object, from { to }."
_NO_SESSION = (
    "This JSON doesn't contain both an access_token and a refresh_token. Copy the stored session "
    "(in the browser: the entry sb-…-auth-token)."
)


def find_tokens(fields: list[Secret]) -> Findings:
    """Find the tokens in each field."""
    found = Findings()
    for each in fields:
        text = _visible(each.reveal()).strip()
        if text.strip("\"'`"):
            one = Findings()
            _read(one, text, _MAX_DEPTH)
            found.merge(one)
    for name, parts in found.parts.items():
        _read_cookie(found, name, parts)
    return found


def find_joined_cookie(fields: list[Secret]) -> Findings | None:
    """The session in a cookie's two parts, one per field."""
    texts = ["".join(_visible(each.reveal()).split()) for each in fields]
    if not all(texts):
        return None
    for first, second in (texts, texts[::-1]):
        if first.startswith(("base64-", "{", "%7B")) and not _ENTRY.match(second):
            found = Findings()
            _read_value(found, first + second, _MAX_DEPTH)
            if found.sessions:
                return found
    return None


def _read(found: Findings, text: str, depth: int) -> None:
    """Read any text. `depth` limits how often something is unwrapped."""
    if depth <= 0 or _read_value(found, text, depth):
        return
    if _ADDRESS.match(text.lstrip("\"'<(")):
        _read_address(found, text)
        return
    text = _POWERSHELL_COOKIE.sub(r"\1=\2; ", text).replace("@{", " ")  # @{} is PowerShell's dictionary
    _read_labeled(found, _read_entries(found, text, depth))
    if len(found):
        return
    if text.startswith(("{", "[", "%7B")):
        found.problems.append(_CUT_OFF)
    else:
        _read_words(found, text)


def _read_value(found: Findings, text: str, depth: int) -> bool:
    """Read a stored value: base64, URL-encoded, JSON, a Python literal. False: it is something else."""
    if text.startswith("base64-"):
        decoded = _decoded(text[7:])
        if not _BASE64.fullmatch(text, 7):
            found.problems.append(_CUT_OFF)
        elif decoded is None or not isinstance(_parsed(decoded), Mapping):
            found.add_part("", 0, text)
        else:
            _read(found, decoded, depth - 1)
        return True
    if text[:3].upper() in ("%7B", "%22", "%5B", "%25"):
        decoded = unquote(text)
        if decoded != text:
            _read(found, decoded, depth - 1)
            return True
    value = _parsed(text)
    if isinstance(value, str):
        _read(found, value.strip(), depth - 1)
    elif isinstance(value, (Mapping, list, tuple)):
        _search(found, value, depth)
        if not len(found):
            found.problems.append(_NO_SESSION)
    else:
        return False
    return True


def _parsed(text: str) -> Any:
    """The value of JSON or of a Python literal; ``None`` if it is neither."""
    straight = text.translate(_STRAIGHT)
    if not straight.startswith(("{", "[", "(")) and not _STRING.fullmatch(straight):
        return None
    for each in dict.fromkeys((text, straight, text.replace("\r", "").replace("\n", ""))):
        try:
            return _JSON.decode(each)
        except (ValueError, RecursionError):
            pass
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                value = ast.literal_eval(each)
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            continue
        if not isinstance(value, str) or not each.startswith("("):  # ("a" "b") would be one string
            return value.decode(errors="replace") if isinstance(value, bytes) else value
    return None


def _search(found: Findings, value: Any, depth: int) -> None:
    """Find sessions in a nested object (``session``, a list, all of local storage)."""
    if depth < 0:
        return
    if isinstance(value, str):
        if value.startswith(("{", "base64-", "%7B", '"{')):
            _read_value(found, value, depth)
    elif isinstance(value, (list, tuple)):
        texts = [item for item in value[:2] if isinstance(item, str)]
        # The oldest clients stored a list: access token, refresh token.
        if len(texts) == 2 and is_access_token(to_token(texts[0])):
            _add_session(found, *texts)
            return
        for item in value:
            _search(found, item, depth - 1)
    elif isinstance(value, Mapping):
        # A terminal breaks lines anywhere, in a name too.
        names = {name: re.sub(r"[\r\n]", "", str(name)) for name in value}
        value = {_CAMEL_CASE.get(names[name], names[name]): item for name, item in value.items()}
        if "access_token" in value or "refresh_token" in value:
            _add_session(found, value.get("access_token"), value.get("refresh_token"))
        elif isinstance(value.get("name"), str) and isinstance(value.get("value"), str):
            _read_entry(found, value["name"], value["value"], depth - 1)
        else:
            for name, item in value.items():
                if isinstance(item, str):
                    _read_entry(found, name, item, depth - 1)
                elif name != "user" and not name.endswith("_metadata"):
                    _search(found, item, depth - 1)


def _add_session(found: Findings, access: Any, refresh: Any) -> None:
    """Add the values of ``access_token`` and ``refresh_token`` in an object."""
    tokens = to_token(access), to_token(refresh)
    if is_access_token(tokens[0]) and is_opaque(tokens[1]) and not key_name(tokens[0]):
        found.sessions.add(tokens)
        return
    key = key_name(tokens[0])
    if key:
        found.keys.append(key)
    else:
        found.problems.append(_NO_SESSION)


def _read_entry(found: Findings, name: str, value: Any, depth: int) -> None:
    """Read a named value from local storage or a cookie."""
    part = _PART.fullmatch(name)
    if part and isinstance(value, str):
        found.add_part(part[1], int(part[2]), value)
    elif not isinstance(value, str):
        _search(found, value, depth)
    elif name.endswith("-code-verifier"):
        found.problems.append(
            "This entry is from an unfinished sign-in, not a session. Copy the entry sb-…-auth-token."
        )
    elif value.startswith("base64-"):
        found.add_part(name, 0, value)
    elif value.startswith(("{", "[", "%7B", "%5B", "%22", '"')) and (
        "auth-token" in name or "token" in value
    ):
        _read_value(found, value, depth)
    elif "auth-token" in value and depth > 0:
        _read_labeled(found, _read_entries(found, value, depth))


def _read_entries(found: Findings, text: str, depth: int) -> str:
    """Read named values and JSON objects anywhere in a text. Returns the rest."""
    rest, kept, at = [], 0, 0
    while entry := _ENTRY.search(text, at):
        name = entry[1] or ""
        at = start = entry.end() if name else entry.start()
        carrier = _is_carrier(name, text[start : start + 8])
        value: Any = None
        start += carrier and text.startswith("'{", start)
        if carrier and (_PART.fullmatch(name) or not text.startswith(("{", '"'), start)):
            # In a table row, a part of a cookie can contain anything except a tab.
            bare = (_ROW if entry[2] == "\t" and _PART.fullmatch(name) else _BARE).match(text, start)
            value, at = (bare[bare.lastindex or 0], bare.end()) if bare else ("", start)
        elif carrier or _OBJECT.match(text, start):
            start += text.startswith('"{"', start)
            try:
                value, at = _JSON.raw_decode(text, start)
            except (ValueError, RecursionError):
                found.problems.append(_CUT_OFF)
                return ""
        if not carrier and not isinstance(value, dict):
            at = max(entry.end(), start)
            continue
        if not carrier and value and text.startswith((",", "}", "]"), at):
            found.problems.append(_CUT_OFF)  # a piece from inside a larger object
            return ""
        rest.append(text[kept : entry.start()])
        kept = at = max(at, entry.end())
        if value is not None and name != "user" and not name.endswith("_metadata"):
            _read_entry(found, name, value, depth - 1)
    return " ".join([*rest, text[kept:]])


def _is_carrier(name: str, value: str) -> bool:
    """Whether this may be a session's entry, or a part of one."""
    return bool(name) and (
        "auth-token" in name or value.lstrip("\"'").startswith("base64-") or _PART.fullmatch(name) is not None
    )


def _read_cookie(found: Findings, name: str, parts: Mapping[int, Secret]) -> None:
    """Join a cookie's parts, or find out which part is missing."""
    known = "auth-token" in name or any("base64-" in part.reveal()[:9] for part in parts.values())
    if not known:
        return
    missing = next(number for number in range(len(parts) + 1) if number not in parts)
    if missing == len(parts):
        # All parts of base64 except the last have the same length.
        lengths = {len(parts[number].reveal()) for number in range(missing - 1)}
        if len(lengths) > 1 and parts[0].reveal().lstrip("\"'").startswith("base64-"):
            found.problems.append("Part of this cookie is incomplete. Copy all of its parts again.")
            return
        text = "".join("".join(parts[number].reveal().strip("\"'")) for number in range(missing))
        for each in (text, unquote(text)):
            decoded = _decoded("".join(each.split())[7:]) if each.startswith("base64-") else each
            value = _parsed(decoded) if decoded is not None else None
            if isinstance(value, (Mapping, list)):
                _search(found, value, _MAX_DEPTH)
                return
    count = max(*parts, missing) + 1
    found.problems.append(
        f"This is {_number(len(parts))} of {_number(count)} parts of a cookie: the one whose name ends in "
        f'".{missing}" is missing. Paste all parts together, or one in each field.'
    )


def _number(count: int) -> str:
    words = ("no", "one", "two", "three", "four", "five")
    return words[count] if count < len(words) else str(count)


def _decoded(text: str) -> str | None:
    """Decode base64; ``None`` if it is truncated or invalid."""
    text = "".join(unquote(text).split()).rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode()
    except (ValueError, binascii.Error):
        return None


def _read_labeled(found: Findings, text: str) -> None:
    text = _SESSION.split(text, 1)[-1].partition("_metadata")[
        0
    ]  # the following keys may be from the metadata
    for kind, _, value in _LABELED.findall(text):
        if kind.lower() == "access":
            found.add_access(value)
        elif is_refresh_token(Secret(value)):  # it may be truncated
            found.add_refresh(value)
    # Only among several words. Alone, it is treated like any token.
    if len(text.split(None, 3)) > 3:
        for value in _BEARER.findall(text):
            found.add_access(value)


def _read_address(found: Findings, text: str) -> None:
    words = text.strip("\"'<>()").split()
    # Mail programs break long lines, HTML escapes an &, and Slack adds the text of a link.
    address = "".join(words).replace("&amp;", "&").partition("|")[0]
    if "://" not in address:
        address = "x://y/" + (address if address[0] in "#?" else "#" + address.lstrip("&"))
    try:
        parts = urlsplit(address)
        fields = parse_qs(parts.query)
        for name, values in parse_qs(parts.fragment.lstrip("/?")).items():
            fields.setdefault(name, []).extend(values)
    except ValueError:
        found.problems.append("This URL can't be read. Copy the whole URL again.")
        return
    tokens = [
        {to_token(value) for value in fields.get(f"{kind}_token", ())} for kind in ("access", "refresh")
    ]
    if max(map(len, tokens)) > 1:
        found.problems.append(TWO_SESSIONS)
    elif all(tokens) and is_refresh_token(*tokens[1]):
        _add_session(found, *tokens[0], *tokens[1])
    else:
        found.problems.append(_address_problem(fields))


def _address_problem(fields: Mapping[str, list[str]]) -> str:
    if {"error", "error_description", "error_code"} & set(fields):
        reason = masking.safe_text(fields.get("error_description", [""])[0], 200).rstrip(".")
        return (
            f"This URL says that the sign-in failed{': ' if reason else ''}{reason}. "
            "Ask for a new link, or sign in again."
        )
    if "code" in fields:
        return "This URL contains a code instead of tokens. Run %supabase_sign_in --link to use it."
    if "token_hash" in fields or "token" in fields:
        return "This link has not been opened yet. Open it, then copy the URL of the page that opens."
    return "There are no tokens in this URL. Copy the whole URL, including everything after the #."


def _read_words(found: Findings, text: str) -> None:
    """Read unlabeled tokens, without any other text."""
    text = _AROUND.sub(" ", text.translate(_STRAIGHT).replace(";", " "))
    parts = [clean(part).reveal() for part in _SEPARATORS.split(text)]
    words = [part for part in parts if part and part != "Bearer"]
    if len(words) > _MAX_WORDS:
        found.problems.append(NEITHER)
        return
    words = _rejoined(words)
    tokens = [Secret(word) for word in words]
    keys = [key for token in tokens if (key := key_name(token))]
    access = [token for token in tokens if is_access_token(token) and not key_name(token)]
    others = [token for token in tokens if token not in access and not key_name(token)]
    found.keys += keys
    if any(token.reveal().startswith("eyJ") and _TOKEN.fullmatch(token.reveal()) for token in others):
        found.problems.append(
            "The access token is incomplete: it has three parts, separated by dots. "
            "Copy the whole token again."
        )
    elif pair := _among_words(text, access):
        found.sessions.add(pair)
    elif len(tokens) == 1:
        found.access += access
        found.alone += len(access)
        known = others and is_refresh_token(others[0])
        (found.refresh if known else found.unknown).extend(others)
    elif len(access) > 1:
        found.problems.append(
            "There are several access tokens here. Paste one, together with its refresh token."
        )
    elif len(access) == 1 and len(others) == 1 and is_refresh_token(others[0]):
        found.sessions.add((access[0], others[0]))
    elif others or not keys:
        found.problems.append(NEITHER)
    else:
        found.access += access


def _among_words(text: str, access: list[Secret]) -> Pair | None:
    """The two tokens in a text with other words, if no other word looks like one.

    A request or a provider's response can contain ids that look like a refresh token.
    """
    if "://" in text or "provider" in text.lower():
        return None
    words = [word.strip(".") for word in _TOKEN.findall(text)]
    access = access or [Secret(word) for word in words if is_access_token(Secret(word))]
    refresh = [Secret(word) for word in words if looks_like_refresh_token(word)]
    if len(access) != 1 or len(refresh) != 1 or key_name(access[0]):
        return None
    return access[0], refresh[0]


def _rejoined(words: list[str]) -> list[str]:
    """The words, after rejoining an access token that was broken into lines."""
    result, at = [], 0
    while at < len(words):
        end = _end_of_jwt(words, at) if words[at].startswith("eyJ") else at + 1
        result.append("".join(words[at:end]))
        at = end
    return result


def _end_of_jwt(words: list[str], start: int) -> int:
    """Where the JWT that starts at `start` ends: after a whole signature, else where it can be decoded."""
    readable, joined = 0, ""
    for end in range(start, len(words)):
        joined += words[end]
        if len(joined) > _MAX_JWT or joined.count(".") > 2:
            break
        if joined.count(".") == 2:
            token = Secret(joined)
            if signature_is_whole(token):
                return end + 1
            if not readable and read_claims(token) is not None:
                readable = end + 1
    return readable or start + 1


def _visible(text: str) -> str:
    """`text` without invisible characters and a terminal's paste marks."""
    text = _BRACKETED.sub("", text)
    if text.isascii():
        return text
    return "".join(char for char in text.translate(_BLANK) if unicodedata.category(char) != "Cf")
