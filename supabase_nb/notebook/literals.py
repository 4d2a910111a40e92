"""Finding tokens that stand literally in a cell, and what to write in their place."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, replace
from typing import Literal as OneOf

from ..tokens import MASK, Secret, clean, is_jwt, is_opaque, read_claims, text_claim
from .arguments import is_path, is_reference, root_of

# Without any of these there is nothing to find: most cells cost one search.
_HINT = re.compile(r"eyJ|sb_secret_|supabase_|set_session|set_auth|refresh_?token", re.IGNORECASE)
_JWT = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]*|sb_secret_\w+", re.ASCII)
_LEXEMES = re.compile(
    r"""(?<!\w)(?P<prefix>[rbuf]{0,2})(?:(?P<triple>\"{3}|'{3})(?P<long>(?:\\.|(?!(?P=triple)).)*)(?P=triple)
                         |(?P<quote>["'])(?P<short>(?:\\.|(?!(?P=quote))[^\n\\])*)(?P=quote))
      |(?P<comment>\#[^\n]*)""",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_MAGIC = re.compile(
    r"^[ \t]*(?:[^\n=%#]*=[ \t]*)?%?(?P<name>supabase_\w+)"
    r"(?P<rest>(?:\\\n|[^\n])*)",
    re.MULTILINE,
)
_TAKE_TOKENS = {"supabase_set_session", "supabase_set_auth", "supabase_sign_in"}
_WORD = re.compile(r"\\\n|\"[^\"\n]*\"?|'[^'\n]*'?|[^\s\"'](?:\[[^\[\]\n]*\]|\S)*")
_CALL = re.compile(
    r"(?P<auth>\bauth\s*\.\s*(?:aio\s*\.\s*)?)?\b(?:set_session|set_auth|refresh_session)\s*\("
)
_LIKE_A_TOKEN = re.compile(r"(?=.*[0-9])[a-z0-9]{12}|[\w-]{40,}(?:\.[\w-]+){0,2}", re.ASCII)
_OPAQUE = re.compile(r"[\w-]{10,}", re.ASCII)
_REFRESH = re.compile(r"[a-z0-9]{12}|(?=.*[0-9])[\w-]{20,}", re.ASCII)
_STATEMENT = re.compile(r"(?m)^[ \t]*supabase\.auth\.set_session\($")
_NAMED = re.compile(r"(?:refresh_?token|\brt)\w*[\"'\]]*\s*[:=]\s*$", re.IGNORECASE)
_ESCAPED = re.compile(r"^[ \t]*(?:[\w., ]+=[ \t]*)?[%!][^\n]*", re.MULTILINE)


@dataclass(frozen=True)
class Literal:
    """A token in a cell.

    Args:
        start: Where it begins in the cell's text, quotation marks included.
        end: Where it ends.
        value: The token.
        way: How a placeholder can stand for it: a name, a name that IPython expands, or not at all.
        written: What the cell is to say instead.
    """

    start: int
    end: int
    value: Secret
    way: OneOf["name", "expansion", "comment"] = "name"
    written: str = '""'


@dataclass(frozen=True)
class _String:
    start: int
    end: int
    value: Secret
    #: An f-string with something in braces: not one value.
    formatted: bool = False


def find_literals(cell: str, names: Container[str] = ()) -> list[Literal]:
    """The tokens that stand in a cell, in their order.

    Looks at the arguments of the magics that take tokens, of ``.set_session(…)`` and its like, and at every
    text that holds an access token of a user, with the refresh token beside it.

    Args:
        cell: The cell's text, as written.
        names: The notebook's variables: what they name is no literal.
    """
    if not _HINT.search(cell):
        return []
    found: list[Literal] = []

    def add(literals: Iterator[Literal]) -> None:
        for literal in literals:
            if not any(literal.start < other.end and other.start < literal.end for other in found):
                found.append(literal)

    magics = [match for match in _MAGIC.finditer(cell) if match["rest"].strip()]
    for magic in magics:
        add(_in_magic(magic, names))
    outside = [match.span() for match in magics]
    strings, comments = _lex(cell, outside)
    for call in _CALL.finditer(cell):
        if not any(start <= call.start() < end for start, end in comments + outside):
            add(_in_call(cell, call, strings))
    if not cell.lstrip().startswith("%%"):  # the body may be no Python at all
        escaped = [match.span() for match in _ESCAPED.finditer(cell)]
        add(_in_strings(cell, strings, escaped))
        add(_elsewhere(cell, comments, escaped))
    return sorted(found, key=lambda literal: literal.start)


def replaced(cell: str, literals: list[Literal], write: Callable[[Literal], str]) -> str:
    """The cell with something else in the place of each literal."""
    parts, at = [], 0
    for literal in literals:
        parts += [cell[at : literal.start], write(literal)]
        at = literal.end
    return "".join(parts) + cell[at:]


def pattern(text: str, secrets: list[Secret]) -> str:
    """A regular expression (Python's and JavaScript's) that `text` matches and that holds no token."""
    spans = sorted(
        {
            match.span()
            for secret in secrets
            if secret
            for match in re.finditer(re.escape(secret.reveal()), text)
        }
    )
    parts, at = [], 0
    for start, end in spans:
        if start >= at:
            parts += [_escape(text[at:start]), f"[^\\n]{{{end - start}}}"]
            at = end
    return "".join(parts) + _escape(text[at:])


def _escape(text: str) -> str:
    return re.sub(r"([\\^$.*+?()\[\]{}|/])", r"\\\1", text)


def _in_magic(magic: re.Match[str], names: Container[str]) -> Iterator[Literal]:
    name, base = magic["name"], magic.start("rest")
    before, literals, bare = "", [], []
    for word in _WORD.finditer(magic["rest"]):
        text, quoted = word[0], word[0][0] in "\"'"
        start, end = base + word.start(), base + word.end()
        if text.startswith("#"):
            break
        option, equals, value = text.partition("=") if text.startswith("--") else ("", "", text)
        if option and _is_users(Secret(option[2:])):
            start, option, value = start + 2, "", option[2:]
        if option and equals:
            start += len(option) + 1
        secret = Secret(value.strip("\"'"))
        if quoted and is_reference(secret.reveal(), names):
            before = text
            continue
        held = (quoted and name in _TAKE_TOKENS and bool(secret)) or _is_users(secret)
        if (not option or equals) and before != "--name" and not text.startswith("$") and text != "\\\n":
            if held and not (is_path(text) and root_of(text) in names):
                literals.append(Literal(start, end, secret, written=""))
            elif quoted or not (is_path(text) and root_of(text) in names):
                bare.append(Literal(start, end, secret, written=""))
        before = text
    if literals and name != "supabase_connect":
        # A word beside a literal that names nothing: a refresh token, without quotation marks or behind the
        # misspelt name of a magic.
        literals += [literal for literal in bare if is_opaque(literal.value)]
    yield from (replace(literal, written="") for literal in literals)


def _lex(cell: str, outside: list[tuple[int, int]]) -> tuple[list[_String], list[tuple[int, int]]]:
    strings: list[_String] = []
    comments = []
    for match in _LEXEMES.finditer(cell):
        if any(start <= match.start() < end for start, end in outside):
            continue
        if match["comment"]:
            comments.append(match.span())
            continue
        body = match["long"] if match["triple"] else match["short"]
        formatted = "f" in match["prefix"].lower() and "{" in body
        string = _String(*match.span(), _value(match[0], body), formatted)
        if strings and re.fullmatch(r"(?:\\\n|[ \t])*", cell[strings[-1].end : string.start]):
            # Python joins texts that stand side by side.
            last = strings.pop()
            joined = Secret(last.value.reveal() + string.value.reveal())
            string = _String(last.start, string.end, joined, last.formatted or formatted)
        strings.append(string)
    return strings, comments


def _value(source: str, body: str) -> Secret:
    try:
        value = ast.literal_eval(source)
    except (ValueError, SyntaxError):
        value = body
    return Secret(value if isinstance(value, str) else body)


def _in_call(cell: str, call: re.Match[str], strings: list[_String]) -> Iterator[Literal]:
    """The texts among the arguments of a call."""
    depth, at, inside = 1, call.end(), []
    starts = {string.start: string for string in strings}
    while at < len(cell) and depth:
        string = starts.get(at)
        if string is not None:
            # Deeper inside stands what tokens are called, or asked for by: `pair["access_token"]`.
            if depth == 1 or _LIKE_A_TOKEN.fullmatch(string.value.reveal()):
                inside.append(string)
            at = string.end
            continue
        depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(cell[at], 0)
        at += 1
    if not call["auth"] and not any(string.value.reveal().startswith("eyJ") for string in inside):
        return  # another library's `set_session("main")`
    alone = _STATEMENT.search(cell[: call.end()])
    whole = alone is not None and alone.end() == call.end() and re.match(r"[ \t]*(?:;|\n|$)", cell[at:])
    literals = [
        Literal(string.start, string.end, string.value)
        for string in inside
        if string.value and not string.formatted
    ]
    if literals and whole and alone is not None:
        # The magic does the same; the cell is to show how it is done well. See `rewritten`.
        literals = [replace(literal, written=_AS_MAGIC) for literal in literals]
    yield from literals


_AS_MAGIC = "\0"


def _in_strings(cell: str, strings: list[_String], escaped: list[tuple[int, int]]) -> Iterator[Literal]:
    """Texts that hold a user's access token, and the refresh token beside it."""
    last: _String | None = None
    for string in strings:
        if any(start <= string.start < end for start, end in escaped):
            continue
        if any(_is_users(Secret(token)) for token in _JWT.findall(string.value.reveal())):
            last = string
            if not string.formatted:
                yield Literal(string.start, string.end, string.value)
            else:
                for match in _JWT.finditer(cell, string.start, string.end):
                    yield Literal(*match.span(), Secret(match[0]), "expansion", MASK)
            continue
        beside = last is not None and re.fullmatch(r"\s*,\s*", cell[last.end : string.start])
        named = _NAMED.search(cell[max(0, string.start - 60) : string.start])
        # Beside an access token anything of that shape is one; elsewhere "YOUR_REFRESH_TOKEN" is not.
        shape = _OPAQUE if beside else _REFRESH
        if (beside or named) and shape.fullmatch(string.value.reveal()):
            yield Literal(string.start, string.end, string.value)


def _elsewhere(
    cell: str, comments: list[tuple[int, int]], escaped: list[tuple[int, int]]
) -> Iterator[Literal]:
    """Access tokens in comments, behind other magics (IPython expands ``{name}`` there), and bare."""
    for match in _JWT.finditer(cell):
        secret = Secret(match[0])
        if not _is_users(secret):
            continue
        if any(start <= match.start() < end for start, end in comments):
            yield Literal(*match.span(), secret, "comment", MASK)
        elif any(start <= match.start() < end for start, end in escaped):
            yield Literal(*match.span(), secret, "expansion", MASK)
        else:  # a token as a statement: its NameError would repeat it
            yield Literal(*match.span(), secret)


def _is_users(token: Secret) -> bool:
    """Whether this is an access token of a user, or a secret key; a publishable key is neither."""
    if token.reveal().startswith("sb_secret_"):
        return True
    if not token.reveal().startswith("eyJ"):
        return False
    claims = read_claims(clean(token))
    if claims is None:
        return is_jwt(token) or len(token.reveal()) > 60
    role = text_claim(claims, "role")
    issuer = text_claim(claims, "iss") or ""
    return role not in (None, "anon") or "session_id" in claims or ("/auth/v1" in issuer and role != "anon")


def rewritten(cell: str, literals: list[Literal]) -> list[tuple[int, int, str]]:
    """What to change in the cell that people see: (start, end, new text), without tokens.

    A magic loses its arguments, so that it asks for the tokens; a call of ``supabase.auth.set_session``
    that stands alone becomes that magic; elsewhere the text becomes empty, and a comment says why.
    """
    edits: list[tuple[int, int, str]] = []
    for literal in literals:
        start, end, written = literal.start, literal.end, literal.written
        if written == _AS_MAGIC:
            start = cell.rindex("supabase.auth.set_session(", 0, start)
            end = _closing(cell, literal.end)
            written = "%supabase_set_session"
        elif not written:
            start = len(cell[:start].rstrip(" \t"))
        if not edits or start >= edits[-1][1]:
            edits.append((start, end, written))
    if any(literal.written == '""' for literal in literals):
        edits.insert(0, (0, 0, COMMENT))
    return edits


COMMENT = (
    "# Tokens were taken out of this cell: whoever gets the notebook would get the account.\n"
    "# Run %supabase_set_session instead, with nothing behind it: it asks for them.\n"
)


def _closing(cell: str, at: int) -> int:
    depth = 1
    for match in re.finditer(r"\"[^\"\n]*\"|'[^'\n]*'|[()]", cell[at:]):
        depth += {"(": 1, ")": -1}.get(match[0], 0)
        if not depth:
            return at + match.end()
    return len(cell)
