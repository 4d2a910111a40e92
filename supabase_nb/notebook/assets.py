"""One ES module and one style sheet per widget, put together from the files in ``static/``."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources

# `import { a, b } from "./other.mjs";`, over one line or several.
_IMPORT = re.compile(r'^import\s*\{[^}]*\}\s*from\s*"\./([\w-]+\.mjs)";\n', re.MULTILINE)
# Comments that fill their lines, indentation, empty lines. No template literal in these files has any of it.
_FOR_READERS = re.compile(r"^[ \t]*(?:/\*(?:[^*]|\*(?!/))*\*/[ \t]*\n|//.*\n|\n|)", re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|const|class)\b)", re.MULTILINE)


# anywidget sends one module per widget, as text: in the browser there is no address that a relative import
# could be resolved against, and `data:` imports are refused by stricter front ends. So imports are resolved
# here: every module that is needed comes once, dependencies first, in one scope. The files stay plain
# modules that node and tsc read as they are. Names at the top level must differ between files; a test looks.
@cache
def read_esm(name: str) -> str:
    """The module `name` of ``static/`` with the modules it imports, as one ES module."""
    modules: dict[str, str] = {}

    def add(file: str, *, entry: bool) -> None:
        source = _read(file)
        for dependency in _IMPORT.findall(source):
            if dependency not in modules:
                add(dependency, entry=False)
        source = _IMPORT.sub("", source)
        modules[file] = source if entry else _EXPORT.sub("", source)

    add(name, entry=True)
    return "".join(modules.values())


@cache
def read_css(*names: str) -> str:
    """The style sheets `names` of ``static/``, one after the other."""
    return "".join(_read(name) for name in names)


def _read(name: str) -> str:
    """A file without what only its readers need: it travels with each model, and is saved with notebooks."""
    text = (resources.files(__package__) / "static" / name).read_text(encoding="utf-8")
    return _FOR_READERS.sub("", text)
