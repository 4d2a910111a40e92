"""Imported in the kernel that is searched: writes everything that it stores to a file, place by place.

Runs in a silent request, so that it leaves nothing behind itself.
"""

from __future__ import annotations

import gc
import json
import linecache
import logging
import os
import pprint
import sys
import traceback
from pathlib import Path
from typing import Any

from IPython.core.getipython import get_ipython


def log_all(path: str) -> None:
    """Let every logger of this process write all it has to say into a file."""
    handler = logging.FileHandler(path, encoding="utf-8", errors="replace")
    handler.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s %(args)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    for name in ("traitlets", "IPKernelApp", "Comm", "asyncio", "httpx", "httpcore", "supabase_nb"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.DEBUG)
        if not logger.propagate:
            logger.addHandler(handler)


def note_verifiers(path: str) -> None:
    """Write each verifier of a sign-in with a provider into a file outside: it is to be nowhere else."""
    from supabase_nb.auth import _browser_sign_in

    make = _browser_sign_in.new_verifier

    def noted() -> Any:
        verifier = make()
        with open(path, "a") as file:
            file.write(f"{verifier.reveal()}\n")
        return verifier

    _browser_sign_in.new_verifier = noted


def places() -> dict[str, str]:
    """What this process remembers of cells, and shows of objects."""
    shell: Any = get_ipython()
    history = shell.history_manager
    history.writeout_cache()
    inputs = {
        name: value
        for names in (shell.user_ns, shell.user_ns_hidden)
        for name, value in names.items()
        if name.startswith("_i") or name in ("In", "_", "__", "___", "Out", "_oh", "_ih")
    }
    kernel = getattr(shell, "kernel", None)
    result = shell.last_execution_result
    found = {
        "In, Out, _i": repr(inputs),
        "history in memory": repr(
            [
                history.input_hist_raw,
                history.input_hist_parsed,
                history.output_hist_reprs,
                history.db_input_cache,
                history.db_output_cache,
                history._i,
                history._ii,
                history._iii,
                history._i00,
                getattr(history, "exceptions", None),
                getattr(history, "outputs", None),
            ]
        ),
        "linecache": repr(list(linecache.cache.values())),
        "last result": repr([vars(result.info), result.result, str(result.error_in_exec)]) if result else "",
        "current request": repr([shell.get_parent(), vars(kernel)]) if kernel else "",
        "completer": repr([getattr(shell.Completer, name, "") for name in ("line_buffer", "full_text")]),
        "last exception": _last_exception(shell.user_ns),
        "objects": _objects(shell),
        "widget state": _widgets(),
    }
    prompt = getattr(shell, "pt_app", None)
    if prompt is not None:
        buffer = prompt.default_buffer
        found["prompt_toolkit's history"] = repr(
            [list(prompt.history.get_strings()), buffer.text, buffer._working_lines, buffer._undo_stack]
        )
    return found


def _last_exception(variables: object) -> str:
    error = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
    if error is None:
        return ""
    own = []
    frames = error.__traceback__
    while frames is not None:
        # A cell's own frame holds the person's own variables.
        if "/supabase_nb/" in frames.tb_frame.f_code.co_filename:
            code, names = frames.tb_frame.f_code, frames.tb_frame.f_locals
            names = {name: value for name, value in names.items() if value is not variables}
            own.append(f"{code.co_filename}:{frames.tb_lineno} {code.co_name} {names}")
        frames = frames.tb_next
    return "".join([*own, *traceback.format_exception(error), repr(vars(error)), repr(error.__context__)])


def _objects(shell: object) -> str:
    """The views of everything of ours that lives."""
    shown = []
    for value in gc.get_objects():
        module = type(value).__module__
        if isinstance(module, str) and module.startswith("supabase_nb.") and not isinstance(value, type):
            views = (repr(value), str(value), pprint.pformat(value), repr(getattr(value, "__dict__", "")))
            shown += views
    return "\n".join(shown)


def _widgets() -> str:
    if "ipywidgets" not in sys.modules:
        return ""
    import ipywidgets

    return repr(ipywidgets.Widget.get_manager_state())


def dump(path: str) -> None:
    """Write all places into a file, which is whole once it is there."""
    Path(f"{path}.part").write_text(json.dumps(places()), encoding="utf-8")
    os.replace(f"{path}.part", path)
