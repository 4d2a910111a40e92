"""Pyodide in node, and what is needed to run the package in it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

HERE = Path(__file__).parent
sys.path.append(str(HERE.parents[1] / "tools"))


@pytest.fixture(scope="session")
def lite_parts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Pyodide from npm, and the folder of the packages that the browser gets."""
    import lite

    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    # One at a time: the tests run in several processes.
    with FileLock(tmp_path_factory.getbasetemp().parent / "lite.lock"):
        return lite.pyodide(), lite.packages()


@pytest.fixture(scope="module")
def in_pyodide(lite_parts: tuple[Path, Path]) -> Callable[..., dict[str, Any]]:
    """Run the functions of a module in Pyodide; gives the outcome of each: ``"passed"``, or a traceback."""

    def run(module: str, **argument: Any) -> dict[str, Any]:
        pyodide, packages = lite_parts
        script = HERE / "in_pyodide" / f"{module}.py"
        words = [str(word) for word in (HERE / "in_node.mjs", pyodide, packages, script)]
        done = subprocess.run(
            ["node", *words, json.dumps(argument)], capture_output=True, text=True, timeout=150
        )
        assert done.returncode == 0, done.stdout + done.stderr
        outcome: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return outcome

    return run
