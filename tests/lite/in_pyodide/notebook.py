"""Runs the code cells of a notebook in IPython."""

from __future__ import annotations

import json

from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from traitlets.config import Config


async def main(argument: str) -> str:
    shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    outcomes = {}
    for cell in json.loads(argument)["cells"]:
        with capture_output() as captured:
            result = shell.run_cell(cell)
        outcomes[cell] = "passed" if result.success else captured.stdout
    return json.dumps(outcomes) + "\n"
