"""Hidden prompts, where there is no browser to show a form in."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from IPython.core.getipython import get_ipython

from ..tokens import Secret
from .arguments import SupabaseUsageError
from .text import word

if TYPE_CHECKING:
    from .paste import Pair


def can_show_form() -> bool:
    """Whether there is a kernel, and so perhaps a browser, and the widget libraries are there."""
    if getattr(get_ipython(), "kernel", None) is None:
        return False
    try:
        import anywidget  # noqa: F401
    except ImportError:
        return False
    return True


def ask_for_tokens() -> Pair:
    """Ask for both tokens with prompts that show nothing of what is typed.

    Raises:
        SupabaseUsageError: No interactive input is available.
        AuthError: What was given is no pair of tokens.
    """
    ask = prompt()
    if ask is None:
        raise SupabaseUsageError(word("entry.no_input"))
    answered = False
    try:
        first = Secret(ask(word("entry.prompt_access")))
        from .paste import read_paste  # only when tokens are asked for: `%load_ext` is to be quick

        # A paste of both answers both questions.
        pair = read_paste(first) if first else None
        if pair is not None and not pair[1]:
            pair = read_paste(first, Secret(ask(word("entry.prompt_refresh"))))
        answered = pair is not None
    except EOFError:
        pass
    if not answered or pair is None:
        raise SupabaseUsageError(word("entry.nothing"))
    return pair


def ask(question: str, magic: str = "%supabase_sign_in") -> Secret:
    """Ask for something that is not shown while it is typed, nor kept.

    Args:
        question: What to ask.
        magic: The magic to run again if nothing was answered.

    Raises:
        SupabaseUsageError: No input is possible here, or nothing was answered.
    """
    asking = prompt()
    if asking is None:
        raise no_input()
    try:
        answer = Secret(asking(question))
    except EOFError:
        answer = Secret("")
    if not answer:
        raise SupabaseUsageError(f"Nothing was entered. Run {magic} again.")
    return answer


def no_input() -> SupabaseUsageError:
    """The error of a question where no input is possible."""
    return SupabaseUsageError(
        "No interactive input is available here. Run this cell by hand once. The session is then stored."
    )


def prompt() -> Any:
    """A function that asks without an echo, or ``None`` where no input is possible."""
    shell: Any = get_ipython()
    kernel = getattr(shell, "kernel", None)
    if kernel is not None:
        return kernel.getpass if getattr(kernel, "_allow_stdin", False) else None
    if not (sys.stdin and sys.stdin.isatty()):
        return None
    if getattr(shell, "pt_app", None) is not None:
        # Takes a paste of several lines as one answer, and lines longer than a terminal's 4096 characters.
        # The next lines of such a paste would otherwise become IPython's next input.
        from prompt_toolkit import PromptSession
        from prompt_toolkit.history import DummyHistory

        session: PromptSession[str] = PromptSession(is_password=True, history=DummyHistory())
        return session.prompt
    import getpass

    return getpass.getpass
