"""What the arguments of a magic mean: variables, paths into them, ``$NAME`` of the environment, literals."""

from __future__ import annotations

import argparse
import ast
import keyword
import os
import re
import warnings
from collections.abc import Container, Mapping
from typing import Any, NoReturn

from IPython.core.error import UsageError
from IPython.core.magic_arguments import MagicArgumentParser

from ..tokens import Secret, is_jwt, is_key, is_opaque
from .values import text_of

_NAME = re.compile(r"[^\W\d]\w*")
_BRACKETS = {"(": ")", "[": "]", "{": "}"}
#: `at=at`: what people call the two tokens.
_TOKEN_NAMES = {"access_token": 0, "at": 0, "access": 0, "refresh_token": 1, "rt": 1, "refresh": 1}


class SupabaseUsageError(UsageError):
    """A magic that was called in a way it cannot work; says what to write instead."""

    def _render_traceback_(self, *_: object) -> list[str]:
        # IPython shows only UsageError itself without a traceback, no subclass.
        return [f"UsageError: {self}"]


class MagicParser(MagicArgumentParser):
    """The arguments of one magic. argparse's own messages repeat values; these never do."""

    def __init__(self, name: str, description: str) -> None:
        super().__init__(prog=name, description=description)  # type: ignore[no-untyped-call]

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the arguments without repeating any of them."""
        usage = " ".join(self.format_usage().replace("::", "").split())
        raise SupabaseUsageError(f"{self._what(message)} Usage: {usage}")

    def _what(self, message: str) -> str:
        named = re.match(r"argument ([^:\s]+)", message)
        option = next(
            (
                action
                for action in self._actions
                if named and "/".join(action.option_strings or [str(action.dest)]) == named[1]
            ),
            None,
        )
        name = "/".join(option.option_strings) or str(option.dest) if option else "an option"
        if option and option.choices:
            return f"{name} is one of {', '.join(map(str, option.choices))}."
        if "expected one argument" in message:
            return f"{name} needs a value."
        if "required" in message:
            return "An argument is missing."
        if "not allowed with" in message:
            return f"{name} can't be combined with the other options."
        return "There are too many arguments, or an option is unknown."

    def read(self, line: str) -> argparse.Namespace:
        """Parse the text behind the magic.

        Raises:
            SupabaseUsageError: The line does not fit.
        """
        words, missing = [], ""
        try:
            words = split(line)
        except ValueError as error:
            missing = str(error)
        if missing:
            raise SupabaseUsageError(f"A {missing} is missing. Close what it opens, then run this again.")
        try:
            return self.parse_args(words)
        except SupabaseUsageError as error:
            failure = str(error)
        # Anew: its context is argparse's own error, which repeats what was given.
        raise SupabaseUsageError(failure)


def split(line: str) -> list[str]:
    """The words of a line, quotation marks included.

    Spaces inside quotation marks and brackets belong to a word. A comma between words, a semicolon at the end
    of the line, a backslash at the end of a line and a comment are no part of any.

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


def unquoted(word: str) -> str | None:
    """The text of a quoted string, or ``None`` when this is none."""
    if len(word) >= 2 and word[0] == word[-1] and word[0] in "\"'":
        return word[1:-1]
    return None


def resolve(
    word: str, scope: Mapping[str, Any], *, what: str, environ: Mapping[str, str] | None = None
) -> Any:
    """The value that an argument of a magic means.

    Args:
        word: As written, quotation marks included.
        scope: The variables that can be named here.
        what: What the value is to be, for messages: ``"the access token"``.
        environ: The environment; the process's by default.

    Raises:
        SupabaseUsageError: There is nothing by that name. Says close names, and repeats no value.
    """
    environ = os.environ if environ is None else environ
    literal = unquoted(word)
    if literal is not None:
        if not is_reference(literal, scope):
            return Secret(literal)
        word = literal
    if word.startswith("$"):
        name = word[1:].strip("{}")
        if name in environ:
            return Secret(environ[name])
        if name in scope:
            raise SupabaseUsageError(f"{named(name)} is a variable of the notebook: write it without the $.")
        raise SupabaseUsageError(_unknown(name, environ, what, "environment variable"))
    if word.startswith("{") and word.endswith("}"):
        word = word[1:-1].strip()
    if is_path(word) and root_of(word) in scope:
        return _follow(word, scope, what)
    if _is_bare_literal(word, what):
        return Secret(word)  # the quotation marks were forgotten
    if not is_path(word):
        paste = ", or run %supabase_set_session without arguments to paste the tokens"
        raise SupabaseUsageError(
            f"This is not a variable. Assign {what} to a variable and pass its name"
            f"{paste if 'token' in what else ''}."
        )
    return _follow(word, scope, what)


def is_reference(text: str, scope: Container[str]) -> bool:
    """Whether a quoted text names a value: ``"$AT"``, or a variable that there is."""
    return bool(re.fullmatch(r"\$(\w+|\{\w+\})", text)) or (is_path(text) and root_of(text) in scope)


def resolve_text(
    word: str, scope: Mapping[str, Any], *, what: str, environ: Mapping[str, str] | None = None
) -> Secret:
    """The same, where the value has to be a text that is not empty.

    Raises:
        SupabaseUsageError: Nothing by that name, no text, or an empty one.
    """
    value = resolve(word, scope, what=what, environ=environ)
    name = named(word, otherwise=what.capitalize())
    secret = text_of(value)
    if secret is None:
        raise SupabaseUsageError(f"{name} is of type {type(value).__name__}, but {what} is a string.")
    if not secret.reveal().strip():
        raise SupabaseUsageError(f"{name} is empty. It should contain {what}.")
    return secret


def without_names(words: list[str]) -> list[str]:
    """``access_token=at refresh_token=rt``: the values, the access token first.

    Raises:
        SupabaseUsageError: Only some of them have a name, or one that says nothing.
    """
    pairs = [re.fullmatch(r"([^\W\d]\w*)\s*=(?!=)\s*(.+)", word, re.DOTALL) for word in words]
    if not any(pairs) and "=" not in words:
        return words
    order = [_TOKEN_NAMES.get(pair[1]) if pair else None for pair in pairs]
    if None in order or len(set(order)) < len(order):
        raise SupabaseUsageError("Pass the two tokens without `=`: %supabase_set_session at rt")
    return [pair[2] for _, pair in sorted(zip(order, pairs, strict=True)) if pair]


def is_path(word: str) -> bool:
    """Whether a word is a variable's name, perhaps with a path into it: ``pair["access_token"]``."""
    return _parsed(word) is not None


def root_of(word: str) -> str:
    """The variable that a path begins with."""
    found = _NAME.match(word)
    return found[0] if found else ""


def is_name(word: str) -> bool:
    """Whether a word is a variable's bare name."""
    return _NAME.fullmatch(word) is not None and not keyword.iskeyword(word)


def named(word: str, *, otherwise: str = "This variable") -> str:
    """How a message calls a word: by itself, unless it may be a token."""
    return f"`{word}`" if _sayable(word) else otherwise


def _is_bare_literal(word: str, what: str) -> bool:
    """Whether an unquoted word that names no variable is a value itself: a JWT, a key, a refresh token."""
    secret = Secret(word)
    if word.startswith("eyJ") and is_jwt(secret):
        return True
    if ("key" in what or "token" in what) and is_key(secret):
        return True
    return "token" in what and len(word) >= 12 and is_opaque(secret) and not is_path(word)


def _parsed(word: str) -> ast.expr | None:
    """A path as Python reads it; ``None`` for all else, above all for what would call something."""
    if not _NAME.match(word) or len(word) > 1000:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd literals; the path is refused or means what it says
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


def _follow(word: str, scope: Mapping[str, Any], what: str) -> Any:
    node = _parsed(word)
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
        raise SupabaseUsageError(_unknown(node.id, scope, what, "variable"))
    for step in reversed(steps):
        try:
            value = (
                getattr(value, step.attr) if isinstance(step, ast.Attribute) else value[_constant(step.slice)]
            )
        except (AttributeError, LookupError, TypeError, ValueError):
            missing = True
            break
    if missing:
        raise SupabaseUsageError(f"{named(node.id)} has no such attribute or key. Check what it contains.")
    return value


def _unknown(name: str, known: Mapping[str, Any], what: str, kind: str) -> str:
    said = f"There is no {kind} `{name}`" if _sayable(name) else f"There is no {kind} with that name"
    close = _close_names(name, known)
    if close:
        return f"{said}. Did you mean {' or '.join(f'`{found}`' for found in close)}?"
    if kind == "variable":
        asks = ", or run %supabase_set_session without arguments" if "token" in what else ""
        return f"{said}. Assign {what} to a variable first{asks}."
    return f"{said}. Set it before the kernel starts, or use a variable of the notebook."


def _close_names(name: str, known: Mapping[str, Any]) -> list[str]:
    # Here and below, what is not needed to load the extension is imported when it is.
    import difflib

    from .values import may_hold_tokens

    names = [key for key in known if not key.startswith("_") and key != "Out" and may_hold_tokens(known[key])]
    return difflib.get_close_matches(name, names, n=2, cutoff=0.6)


def _sayable(word: str) -> bool:
    """Whether a word may be repeated: a name that a person chose, certainly no token.

    A refresh token of version 1 is 12 letters and digits, all others are longer.
    """
    return is_path(word) and all(
        len(part) < 12 or (part.isalpha() and part.islower() and len(part) < 18 and "_" in word)
        for part in re.split(r"[_\W]+", word)
    )
