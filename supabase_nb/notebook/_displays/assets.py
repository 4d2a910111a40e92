"""Bundles the files in ``static/`` into one ES module and one style sheet per widget."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources

# `import { a, b } from "./other.mjs";`, over one line or several.
_IMPORT = re.compile(r'^import\s*\{[^}]*\}\s*from\s*"\./([\w-]+\.mjs)";\n', re.MULTILINE)
# Comment lines, indentation and empty lines. No template literal in these files contains any.
_FOR_READERS = re.compile(r"^[ \t]*(?:/\*(?:[^*]|\*(?!/))*\*/[ \t]*\n|//.*\n|\n|)", re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|const|class)\b)", re.MULTILINE)


# anywidget sends one module per widget, as text. The browser can't resolve relative imports in it, and strict
# front ends refuse `data:` imports. So imports are resolved here: each needed module is included once,
# dependencies first, in one scope. The files are plain modules that node and tsc can read. Top-level names
# must be unique across files, which a test checks.
@cache
def read_esm(name: str) -> str:
    """The module `name` from ``static/`` and its imports, as one ES module."""
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
    """A file without comments, because it is sent with each model and saved with notebooks."""
    text = (resources.files(__package__) / "static" / name).read_text(encoding="utf-8")
    return _FOR_READERS.sub("", text)
