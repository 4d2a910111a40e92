"""What stands behind a magic: a bare name is a variable, ``$NAME`` the environment's, quotes a literal."""

from __future__ import annotations

import argparse
import ast
import os
import re
import shlex
from collections.abc import Mapping
from typing import Any, NoReturn

from IPython.core.error import UsageError
from IPython.core.magic_arguments import MagicArgumentParser

from ..tokens import Secret, is_jwt, is_opaque

_NAME = re.compile(r"[^\W\d]\w*")
#: How a name may go on: ``pair["access_token"]``, ``response.session``.
_PATH = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*|\[(?:'[^']*'|\"[^\"]*\"|-?\d+)\])*")


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
            return "Something is missing."
        if "not allowed with" in message:
            return f"{name} cannot be combined with another option that was given."
        return "There are too many arguments, or an option is unknown."

    def read(self, line: str) -> argparse.Namespace:
        """Parse what stands behind the magic; a ``#`` of its own begins a comment.

        Raises:
            SupabaseUsageError: The line does not fit.
        """
        try:
            words = split(line)
        except ValueError:
            words = None
        if words is None:
            raise SupabaseUsageError("A quotation mark is missing. Close the quotation, then run this again.")
        comment = next((i for i, word in enumerate(words) if word.startswith("#")), len(words))
        try:
            return self.parse_args(words[:comment])
        except SupabaseUsageError as error:
            failure = str(error)
        # Anew: its context is argparse's own error, which repeats what was given.
        raise SupabaseUsageError(failure)


def split(line: str) -> list[str]:
    """The words of a line, with the quotation marks of those that have some.

    Raises:
        ValueError: A quotation mark is missing.
    """
    lexer = shlex.shlex(line, posix=False)
    lexer.whitespace_split = True
    lexer.commenters = ""
    return list(lexer)


def unquoted(word: str) -> str | None:
    """The text of a quoted string, or ``None`` when this is none."""
    if len(word) >= 2 and word[0] == word[-1] and word[0] in "\"'":
        return word[1:-1]
    return None


def resolve(
    word: str, namespace: Mapping[str, Any], *, what: str, environ: Mapping[str, str] | None = None
) -> Any:
    """The value that a word behind a magic stands for.

    Args:
        word: As written, quotation marks included.
        namespace: The notebook's variables.
        what: What the value is to be, for messages: ``"the access token"``.
        environ: The environment; the process's by default.

    Raises:
        SupabaseUsageError: There is nothing by that name. Says close names, and repeats no value.
    """
    environ = os.environ if environ is None else environ
    literal = unquoted(word)
    if literal is not None:
        return Secret(literal)
    if word.startswith("$"):
        name = word[1:].strip("{}")
        if name in environ:
            return Secret(environ[name])
        if name in namespace:
            raise SupabaseUsageError(f"`{name}` is a variable of the notebook: write it without the $.")
        raise SupabaseUsageError(_unknown(name, environ, what, "environment variable"))
    if is_jwt(Secret(word)) or (
        "token" in what and len(word) >= 12 and is_opaque(Secret(word)) and not _PATH.fullmatch(word)
    ):
        return Secret(word)  # the quotation marks were forgotten
    if not _PATH.fullmatch(word):
        raise SupabaseUsageError(
            f"This is not the name of a variable. Put {what} into a variable and name that; "
            "or run %supabase_set_session alone, it asks for the tokens."
        )
    return _follow(word, namespace, what)


def resolve_text(
    word: str, namespace: Mapping[str, Any], *, what: str, environ: Mapping[str, str] | None = None
) -> Secret:
    """The same, where the value has to be a text that is not empty.

    Raises:
        SupabaseUsageError: Nothing by that name, no text, or an empty one.
    """
    value = resolve(word, namespace, what=what, environ=environ)
    named = f"`{word}`" if _sayable(word) else what.capitalize()
    if not isinstance(value, (str, Secret)):
        raise SupabaseUsageError(f"{named} is no text but of type {type(value).__name__}: {what} is a text.")
    secret = Secret(value)
    if not secret.reveal().strip():
        raise SupabaseUsageError(f"{named} is empty. Put {what} into it, then run this again.")
    return secret


def is_path(word: str) -> bool:
    """Whether a word is a variable's name, perhaps with a part of it: ``pair["access_token"]``."""
    return _PATH.fullmatch(word) is not None


def root_of(word: str) -> str:
    """The variable that a path begins with."""
    found = _NAME.match(word)
    return found[0] if found else ""


def is_name(word: str) -> bool:
    """Whether a word is a variable's bare name."""
    return _NAME.fullmatch(word) is not None


def _follow(word: str, namespace: Mapping[str, Any], what: str) -> Any:
    node: ast.AST = ast.parse(word, mode="eval").body
    steps: list[tuple[bool, Any]] = []
    while not isinstance(node, ast.Name):
        if isinstance(node, ast.Attribute):
            steps.append((True, node.attr))
            node = node.value
        elif isinstance(node, ast.Subscript):
            steps.append((False, ast.literal_eval(node.slice)))
            node = node.value
        else:  # a keyword, such as None
            raise SupabaseUsageError("This is not the name of a variable. Name the one that holds the value.")
    if node.id not in namespace:
        raise SupabaseUsageError(_unknown(node.id, namespace, what, "variable"))
    value, missing = namespace[node.id], False
    for attribute, key in reversed(steps):
        try:
            value = getattr(value, key) if attribute else value[key]
        except (AttributeError, LookupError, TypeError):
            missing = True
            break
    if missing:
        raise SupabaseUsageError(f"`{node.id}` has no such part. Look at what it holds, then run this again.")
    return value


def _unknown(name: str, known: Mapping[str, Any], what: str, kind: str) -> str:
    # Here and below, what is not needed to load the extension is imported when it is.
    import difflib

    from ..models import AuthResponse, Session

    # What may hold tokens: only such variables are suggested.
    carriers = (str, Secret, Mapping, Session, AuthResponse)
    names = [
        key
        for key, value in known.items()
        if not key.startswith("_") and key != "Out" and isinstance(value, carriers)
    ]
    close = difflib.get_close_matches(name, names, n=2, cutoff=0.6)
    said = f"There is no {kind} `{name}`." if _sayable(name) else f"There is no {kind} of that name."
    if close:
        return f"{said} Did you mean {' or '.join(f'`{found}`' for found in close)}?"
    if kind == "variable":
        asks = ", or run %supabase_set_session alone: it asks" if "token" in what else ""
        return f"{said} Put {what} into a variable first{asks}."
    return f"{said} Set it before the kernel starts, or use a variable of the notebook."


def _sayable(word: str) -> bool:
    """Whether a word may be repeated: a name that a person chose, certainly no token.

    A refresh token of version 1 is 12 letters and digits, all others are longer.
    """
    return bool(_PATH.fullmatch(word)) and all(
        len(part) < 12 or (part.isalpha() and part.islower() and len(part) < 18 and "_" in word)
        for part in re.split(r"[_\W]+", word)
    )


def token_pair(value: object) -> tuple[Secret, Secret] | None:
    """Both tokens of something that holds a pair: a session, a response, the JSON object that is stored."""
    from ..models import AuthResponse, Session

    if isinstance(value, AuthResponse):
        value = value.session
    if isinstance(value, Session):
        return Secret(value.access_token), Secret(value.refresh_token)
    if isinstance(value, Mapping):
        found = [value.get(name) for name in ("access_token", "refresh_token")]
        if all(isinstance(token, (str, Secret)) for token in found):
            return Secret(found[0]), Secret(found[1])  # type: ignore[arg-type]
    return None
