"""Hidden prompts, for front ends that can't show a form."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from IPython.core.getipython import get_ipython

from ..._secrets.tokens import Secret
from .._usage_error import SupabaseUsageError
from ..text import word

if TYPE_CHECKING:
    from .._paste.findings import Pair


def can_show_form() -> bool:
    """Whether a form can be shown: there is a kernel, and the widget libraries are installed."""
    if getattr(get_ipython(), "kernel", None) is None:
        return False
    try:
        import anywidget  # noqa: F401
    except ImportError:
        return False
    return True


def ask_for_tokens() -> Pair:
    """Ask for both tokens with hidden prompts.

    Raises:
        SupabaseUsageError: No interactive input is available.
        AuthError: The input isn't two tokens.
    """
    ask = get_prompt()
    if ask is None:
        raise SupabaseUsageError(word("entry.no_input"))
    answered = False
    try:
        first = Secret(ask(word("entry.prompt_access")))
        from .._paste.paste import read_paste  # imported on first use, so that `%load_ext` is fast

        # If both tokens were pasted, the second prompt isn't needed.
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
    """Ask with a hidden prompt.

    Args:
        question: The text of the prompt.
        magic: The magic to run again if nothing is entered.

    Raises:
        SupabaseUsageError: No input is possible here, or nothing was entered.
    """
    prompt = get_prompt()
    if prompt is None:
        raise no_input_error()
    try:
        answer = Secret(prompt(question))
    except EOFError:
        answer = Secret("")
    if not answer:
        raise SupabaseUsageError(f"Nothing was entered. Run {magic} again.")
    return answer


def no_input_error() -> SupabaseUsageError:
    """The error if no input is possible."""
    return SupabaseUsageError(
        "No interactive input is available here. Run this cell by hand once. The session is then stored."
    )


def get_prompt() -> Any:
    """A function that prompts without echo, or ``None`` if no input is possible."""
    shell: Any = get_ipython()
    kernel = getattr(shell, "kernel", None)
    if kernel is not None:
        return kernel.getpass if getattr(kernel, "_allow_stdin", False) else None
    if not (sys.stdin and sys.stdin.isatty()):
        return None
    if getattr(shell, "pt_app", None) is not None:
        # Accepts several pasted lines as one answer; otherwise the second line would become IPython's next
        # input. Also accepts lines longer than a terminal's limit of 4096 characters.
        from prompt_toolkit import PromptSession
        from prompt_toolkit.history import DummyHistory

        session: PromptSession[str] = PromptSession(is_password=True, history=DummyHistory())
        return session.prompt
    import getpass

    return getpass.getpass
