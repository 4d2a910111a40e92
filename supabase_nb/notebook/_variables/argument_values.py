"""The values of arguments: variables, paths into them, environment variables (``$NAME``), literals."""

from __future__ import annotations

import ast
import keyword
import os
import re
import warnings
from collections.abc import Container, Mapping
from typing import Any

from ..._secrets.tokens import Secret, is_jwt, is_key, is_opaque
from .._usage_error import SupabaseUsageError
from .token_extraction import to_secret

_NAME = re.compile(r"[^\W\d]\w*")
_BRACKETS = {"(": ")", "[": "]", "{": "}"}
#: Names for the two tokens, as in `at=at`.
_TOKEN_NAMES = {"access_token": 0, "at": 0, "access": 0, "refresh_token": 1, "rt": 1, "refresh": 1}


def split(line: str) -> list[str]:
    """Split a line into words, including their quotation marks.

    Spaces inside quotation marks and brackets belong to a word. Commas between words, a semicolon or
    backslash at the end of a line, and comments are dropped.

    Raises:
        ValueError: A quotation mark or a bracket is missing.
    """
    words: list[str] = []
    word, quote, closing = "", "", ""
    for char, following in zip(line, [*line[1:], " "], strict=False):
        if quote:
            quote = "" if char == quote else quote
        elif not closing and char == "#" and not word:
            break
        elif not closing and (char.isspace() or char == "," or (char == "\\" and following in "\r\n")):
            if word:
                words.append(word)
            word = ""
            continue
        elif char in "\"'":
            quote = char
        elif char in _BRACKETS:
            closing += _BRACKETS[char]
        elif closing and char == closing[-1]:
            closing = closing[:-1]
        word += char
    if quote or closing:
        raise ValueError("quotation mark" if quote else "bracket")
    if word:
        words.append(word)
    if words and (last := words.pop().rstrip(";")):
        words.append(last)
    return words


def unquote(word: str) -> str | None:
    """The text of a quoted string, or ``None`` if the word isn't quoted."""
    if len(word) >= 2 and word[0] == word[-1] and word[0] in "\"'":
        return word[1:-1]
    return None


def resolve(
    word: str, scope: Mapping[str, Any], *, what: str, environ: Mapping[str, str] | None = None
) -> Any:
    """The value of a magic's argument.

    Args:
        word: The word as written, including quotation marks.
        scope: The available variables.
        what: A description for messages: ``"the access token"``.
        environ: The environment; by default the process's.

    Raises:
        SupabaseUsageError: The name is unknown. The message suggests similar names, and repeats no value.
    """
    environ = os.environ if environ is None else environ
    literal = unquote(word)
    if literal is not None:
        if not is_reference(literal, scope):
            return Secret(literal)
        word = literal
    if word.startswith("$"):
        name = word[1:].strip("{}")
        if name in environ:
            return Secret(environ[name])
        if name in scope:
            raise SupabaseUsageError(f"{label(name)} is a variable of the notebook: write it without the $.")
        raise SupabaseUsageError(_unknown_name(name, environ, what, "environment variable"))
    if word.startswith("{") and word.endswith("}"):
        word = word[1:-1].strip()
    if is_path(word) and root_of(word) in scope:
        return _evaluate_path(word, scope, what)
    if _is_bare_literal(word, what):
        return Secret(word)  # a literal without quotation marks
    if not is_path(word):
        paste = ", or run %supabase_set_session without arguments to paste the tokens"
        raise SupabaseUsageError(
            f"This is not a variable. Assign {what} to a variable and pass its name"
            f"{paste if 'token' in what else ''}."
        )
    return _evaluate_path(word, scope, what)


def is_reference(text: str, scope: Container[str]) -> bool:
    """Whether a quoted text is a reference: ``"$AT"``, or an existing variable."""
    return bool(re.fullmatch(r"\$(\w+|\{\w+\})", text)) or (is_path(text) and root_of(text) in scope)


def resolve_text(
    word: str, scope: Mapping[str, Any], *, what: str, environ: Mapping[str, str] | None = None
) -> Secret:
    """The same for a value that must be a non-empty string.

    Raises:
        SupabaseUsageError: The name is unknown, or the value is empty or not a string.
    """
    value = resolve(word, scope, what=what, environ=environ)
    name = label(word, otherwise=what.capitalize())
    secret = to_secret(value)
    if secret is None:
        raise SupabaseUsageError(f"{name} is of type {type(value).__name__}, but {what} is a string.")
    if not secret.reveal().strip():
        raise SupabaseUsageError(f"{name} is empty. It should contain {what}.")
    return secret


def strip_keywords(words: list[str]) -> list[str]:
    """Strip names, as in ``access_token=at refresh_token=rt``, and put the access token first.

    Raises:
        SupabaseUsageError: Only some words have a name, or a name is unknown.
    """
    pairs = [re.fullmatch(r"([^\W\d]\w*)\s*=(?!=)\s*(.+)", word, re.DOTALL) for word in words]
    if not any(pairs) and "=" not in words:
        return words
    order = [_TOKEN_NAMES.get(pair[1]) if pair else None for pair in pairs]
    if None in order or len(set(order)) < len(order):
        raise SupabaseUsageError("Pass the two tokens without `=`: %supabase_set_session at rt")
    return [pair[2] for _, pair in sorted(zip(order, pairs, strict=True)) if pair]


def is_path(word: str) -> bool:
    """Whether a word is a variable, possibly with a path into it: ``pair["access_token"]``."""
    return _parse_path(word) is not None


def root_of(word: str) -> str:
    """The variable at the start of a path."""
    found = _NAME.match(word)
    return found[0] if found else ""


def is_name(word: str) -> bool:
    """Whether a word is a plain variable name."""
    return _NAME.fullmatch(word) is not None and not keyword.iskeyword(word)


def label(word: str, *, otherwise: str = "This variable") -> str:
    """A word for use in a message, hidden if it could be a token."""
    return f"`{word}`" if _is_safe_to_show(word) else otherwise


def _is_bare_literal(word: str, what: str) -> bool:
    """Whether an unquoted word is a literal value: a JWT, a key, a refresh token."""
    secret = Secret(word)
    if word.startswith("eyJ") and is_jwt(secret):
        return True
    if ("key" in what or "token" in what) and is_key(secret):
        return True
    return "token" in what and len(word) >= 12 and is_opaque(secret) and not is_path(word)


def _parse_path(word: str) -> ast.expr | None:
    """Parse a path; ``None`` for anything else, such as a call."""
    if not _NAME.match(word) or len(word) > 1000:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warnings about odd literals don't matter here
            node = ast.parse(word, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    step = node
    while isinstance(step, (ast.Attribute, ast.Subscript)):
        if isinstance(step, ast.Subscript) and not _is_constant(step.slice):
            return None
        step = step.value
    return node if isinstance(step, ast.Name) else None


def _is_constant(key: ast.expr) -> bool:
    if isinstance(key, ast.Tuple):
        return all(map(_is_constant, key.elts))
    if isinstance(key, ast.Slice):
        return all(part is None or _is_constant(part) for part in (key.lower, key.upper, key.step))
    if isinstance(key, ast.UnaryOp) and isinstance(key.op, ast.USub):
        key = key.operand
    return isinstance(key, ast.Constant)


def _constant(key: ast.expr) -> Any:
    if isinstance(key, ast.Tuple):
        return tuple(map(_constant, key.elts))
    if isinstance(key, ast.Slice):
        return slice(*(part and _constant(part) for part in (key.lower, key.upper, key.step)))
    return ast.literal_eval(key)


def _evaluate_path(word: str, scope: Mapping[str, Any], what: str) -> Any:
    node = _parse_path(word)
    steps: list[ast.Attribute | ast.Subscript] = []
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        steps.append(node)
        node = node.value
    if not isinstance(node, ast.Name):
        raise SupabaseUsageError("This is not a variable. Pass the variable that contains the value.")
    missing = False
    try:
        value = scope[node.id]
    except KeyError:
        missing = True
    if missing:
        raise SupabaseUsageError(_unknown_name(node.id, scope, what, "variable"))
    for step in reversed(steps):
        try:
            value = (
                getattr(value, step.attr) if isinstance(step, ast.Attribute) else value[_constant(step.slice)]
            )
        except (AttributeError, LookupError, TypeError, ValueError):
            missing = True
            break
    if missing:
        raise SupabaseUsageError(f"{label(node.id)} has no such attribute or key. Check what it contains.")
    return value


def _unknown_name(name: str, known: Mapping[str, Any], what: str, kind: str) -> str:
    said = f"There is no {kind} `{name}`" if _is_safe_to_show(name) else f"There is no {kind} with that name"
    close = _close_names(name, known)
    if close:
        return f"{said}. Did you mean {' or '.join(f'`{found}`' for found in close)}?"
    if kind == "variable":
        asks = ", or run %supabase_set_session without arguments" if "token" in what else ""
        return f"{said}. Assign {what} to a variable first{asks}."
    return f"{said}. Set it before the kernel starts, or use a variable of the notebook."


def _close_names(name: str, known: Mapping[str, Any]) -> list[str]:
    # Imported on first use here and below, so that `%load_ext` is fast.
    import difflib

    from .token_extraction import may_hold_tokens

    names = [key for key in known if not key.startswith("_") and key != "Out" and may_hold_tokens(known[key])]
    return difflib.get_close_matches(name, names, n=2, cutoff=0.6)


def _is_safe_to_show(word: str) -> bool:
    """Whether a word can be repeated in a message, because it can't be a token.

    Version 1 refresh tokens are 12 letters and digits. All others are longer.
    """
    return is_path(word) and all(
        len(part) < 12 or (part.isalpha() and part.islower() and len(part) < 18 and "_" in word)
        for part in re.split(r"[_\W]+", word)
    )
