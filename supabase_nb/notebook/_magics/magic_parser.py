"""The parser of a magic's arguments."""

from __future__ import annotations

import argparse
import re
from typing import NoReturn

from IPython.core.magic_arguments import MagicArgumentParser

from .._usage_error import SupabaseUsageError
from .._variables.argument_values import split


class MagicParser(MagicArgumentParser):
    """The parser of a magic's arguments. Unlike argparse's, its messages never repeat values."""

    def __init__(self, name: str, description: str) -> None:
        super().__init__(prog=name, description=description)  # type: ignore[no-untyped-call]

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the arguments, without repeating them."""
        usage = " ".join(self.format_usage().replace("::", "").split())
        raise SupabaseUsageError(f"{self._explain(message)} Usage: {usage}")

    def _explain(self, message: str) -> str:
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
            return f"{name} must be one of {', '.join(map(str, option.choices))}."
        if "expected one argument" in message:
            return f"{name} needs a value."
        if "required" in message:
            return "An argument is missing."
        if "not allowed with" in message:
            return f"{name} can't be combined with the other options."
        return "There are too many arguments, or an option is unknown."

    def parse_line(self, line: str) -> argparse.Namespace:
        """Parse the text after the magic's name.

        Raises:
            SupabaseUsageError: The arguments are wrong.
        """
        words, missing = [], ""
        try:
            words = split(line)
        except ValueError as error:
            missing = str(error)
        if missing:
            raise SupabaseUsageError(f"A {missing} is missing. Add it, then run the cell again.")
        try:
            return self.parse_args(words)
        except SupabaseUsageError as error:
            failure = str(error)
        # Raised again without its context: argparse's error, which repeats the arguments.
        raise SupabaseUsageError(failure)
