"""Tab completion for magics: options, their choices, clients, and variables that contain a string."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, cast

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher

from ..._secrets.tokens import Secret
from .magic_parser import MagicParser

if TYPE_CHECKING:
    from .registration import SupabaseMagics

_LINE = re.compile(r"^\s*(?:[\w, ]+=\s*)?%(supabase_\w+)\s+(.*)$")


def matcher(magics: SupabaseMagics) -> Callable[[CompletionContext], SimpleMatcherResult]:
    """A matcher for IPython's completer, for the magics of one shell."""

    @context_matcher(identifier="supabase_nb")  # type: ignore[untyped-decorator, unused-ignore]
    def supabase_matcher(context: CompletionContext) -> SimpleMatcherResult:
        found = _LINE.match(context.text_until_cursor)
        parser = magics.parsers.get(found[1]) if found else None
        if not found or parser is None:
            return cast(SimpleMatcherResult, {"completions": []})
        words = found[2].split()
        begun = "" if not words or found[2].endswith(" ") else words.pop()
        suggestions = _suggestions(parser, words, begun, magics)
        completions = [
            SimpleCompletion(text=suggestion, type="magic")
            for suggestion in suggestions
            if suggestion.startswith(begun)
        ]
        return cast(
            SimpleMatcherResult,
            {"completions": completions, "matched_fragment": begun, "suppress": bool(completions)},
        )

    matching: Callable[[CompletionContext], SimpleMatcherResult] = supabase_matcher
    return matching


def _suggestions(parser: MagicParser, words: list[str], begun: str, magics: SupabaseMagics) -> Iterator[str]:
    actions = parser._option_string_actions
    before = actions.get(words[-1]) if words else None
    if before is not None and before.dest == "name":
        yield from (name for name, client in magics.clients().items() if not client.closed)
        return
    if before is not None and before.nargs != 0:
        yield from map(str, before.choices or ())
        if before.choices:
            return
    elif begun.startswith("-"):
        yield from (option for option in actions if option not in words)
        return
    positional = [action for action in parser._actions if not action.option_strings]
    for action in positional:
        yield from map(str, action.choices or ())
    if before is not None or any(not action.choices for action in positional):
        yield from (
            name
            for name, value in magics.shell.user_ns.items()
            if not name.startswith("_") and isinstance(value, (str, Secret))
        )
