"""The variables that a magic can use: the same as Python code in its place."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any

from .._usage_error import SupabaseUsageError
from .argument_values import label

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

#: The variable that `%supabase_connect` fills when no --name is given.
DEFAULT_NAME = "supabase"


class Scope(Mapping[str, Any]):
    """The variables of the code that called a magic.

    A magic's text is only a string to Python, so a nested function doesn't capture variables for it. A name
    that may belong to an enclosing function is refused instead of looked up in the globals, where the same
    name may contain another user's tokens.

    Args:
        shell: The shell that the magic runs in.
        frame: The frame of the code that called it.
    """

    # No `__dict__`, so that tools that show an object's attributes don't show variables with tokens.
    __slots__ = ("_builtins", "_enclosing", "_globals", "_locals", "_nested", "_unassigned")

    def __init__(self, shell: InteractiveShell, frame: FrameType | None) -> None:
        self._locals: Mapping[str, Any] = frame.f_locals if frame else {}
        self._globals: Mapping[str, Any] = frame.f_globals if frame else {}
        self._builtins: Mapping[str, Any] = frame.f_builtins if frame else {}
        self._unassigned = _variables(frame.f_code) if frame else frozenset()
        self._enclosing, self._nested = _enclosing(shell, frame)

    @property
    def local_variables(self) -> Mapping[str, Any]:
        """The variables of the calling function, or of the notebook if called from a cell."""
        return self._locals

    @property
    def global_variables(self) -> Mapping[str, Any]:
        """The global variables of the calling code."""
        return self._globals

    def __getitem__(self, name: str) -> Any:
        if name in self._locals:
            return self._locals[name]
        if name in self._unassigned:
            raise SupabaseUsageError(f"{label(name)} has no value yet in this function. Assign it first.")
        if name in self._enclosing or (self._nested and name not in self._builtins):
            raise SupabaseUsageError(
                f"{label(name)} is not a variable of this function, and a magic can't see variables of the "
                "functions or the notebook around it. Assign it to a variable of this function first: "
                "`token = …`, then pass `token`."
            )
        for names in (self._globals, self._builtins):
            if name in names:
                return names[name]
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        """Whether the name is known here, or leads to an explanatory error."""
        try:
            self[str(name)]
        except KeyError:
            return False
        except SupabaseUsageError:
            # In a nested function, a word may be a variable of the enclosing function.
            return name in self._unassigned or name in self._enclosing or name in self._globals
        return True

    def __iter__(self) -> Iterator[str]:
        names = dict.fromkeys(self._locals)
        if not self._nested:
            hidden = self._enclosing | self._unassigned
            names.update(dict.fromkeys(name for name in self._globals if name not in hidden))
        return iter(names)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def calling_frame() -> FrameType | None:
    """The frame of the code that called a magic: the innermost one that is neither ours nor IPython's."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _is_internal(frame):
        frame = frame.f_back
    return frame


def _is_internal(frame: FrameType) -> bool:
    module = str(frame.f_globals.get("__name__", ""))
    return module.startswith(("IPython.", "supabase_nb.notebook."))


def _variables(code: CodeType) -> frozenset[str]:
    """A function's local variables; empty for module code and class bodies."""
    return frozenset((*code.co_varnames, *code.co_cellvars, *code.co_freevars))


def _enclosing(shell: InteractiveShell, frame: FrameType | None) -> tuple[frozenset[str], bool]:
    """The known variables of enclosing functions, and whether there are more.

    Class bodies and `exec` (and so `%time`) run inside the function that contains them, which is on the
    stack.
    """
    from IPython.core.interactiveshell import InteractiveShell

    names: frozenset[str] = frozenset()
    while frame is not None and not frame.f_code.co_flags & inspect.CO_OPTIMIZED:
        if frame.f_locals is frame.f_globals or frame.f_locals is shell.user_ns:
            return names, False
        frame = frame.f_back
        while frame is not None and _is_internal(frame):
            if frame.f_code is InteractiveShell.run_code.__code__:
                return names, False
            frame = frame.f_back
        if frame is not None:
            names |= _variables(frame.f_code)
    return names, frame is not None and bool(frame.f_code.co_flags & inspect.CO_NESTED)
