"""The parts of a notebook that may hold a secret, and a notebook without its secrets."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

_WIDGETS = "application/vnd.jupyter.widget-state+json"


@dataclass(frozen=True)
class Part:
    """A part of a notebook: its place in words, and where it hangs in the JSON.

    Attributes:
        whole: A secret in it takes the whole part with it: what stands beside a secret in an output, an
            attachment or a widget's state is often more of it. Sources and metadata keep the rest.
    """

    place: str
    holder: Any
    key: str | int
    whole: bool

    @property
    def is_source(self) -> bool:
        """Whether this is what a person wrote into a cell."""
        return self.key in ("source", "input") and isinstance(_joined(self.holder[self.key]), str)

    def text(self) -> str:
        """All that it says; of what goes as a whole, base64 data decoded too."""
        value = self.holder[self.key]
        if self.is_source:
            return str(_joined(value))
        if not self.whole:
            return _json({self.key: value})
        return "\n".join([_json({self.key: _joined(value)}), *_decoded(_joined(value))])


def load(data: bytes) -> dict[str, Any] | None:
    """The JSON object, or ``None`` when there is none."""
    try:
        notebook = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return notebook if isinstance(notebook, dict) else None


def dump(notebook: dict[str, Any], *, like: bytes) -> bytes:
    """The JSON as Jupyter writes it, with the indentation of the file that begins with `like`."""
    indent = re.match(rb"\{\r?\n([ \t]+)", like)
    text = json.dumps(notebook, ensure_ascii=False, indent=indent[1].decode() if indent else None)
    return f"{text}\n".encode()


def parts(notebook: dict[str, Any]) -> Iterator[Part]:
    """Sources, outputs, attachments, metadata and widget state, cell by cell; nbformat 3 and 4."""
    sheets = [sheet for sheet in _list(notebook.get("worksheets")) if isinstance(sheet, dict)]
    cells = [cell for holder in (notebook, *sheets) for cell in _list(holder.get("cells"))]
    for number, cell in enumerate(cells, 1):
        for key, value in list(cell.items()) if isinstance(cell, dict) else []:
            if key in ("source", "input"):
                yield Part(f"cell {number}, source", cell, key, whole=False)
            elif key == "outputs" and isinstance(value, list):
                for index in range(len(value)):
                    yield Part(f"cell {number}, output {index + 1}", value, index, whole=True)
            elif key == "attachments" and isinstance(value, dict):
                for name in list(value):
                    yield Part(f"cell {number}, attachment", value, name, whole=True)
            else:
                yield Part(f"cell {number}, {key}", cell, key, whole=False)
    metadata = notebook.get("metadata")
    widgets = metadata.get("widgets") if isinstance(metadata, dict) else None
    state = widgets.get(_WIDGETS) if isinstance(widgets, dict) else None
    models = state.get("state") if isinstance(state, dict) else None
    if isinstance(models, dict):
        for model in list(models):
            yield Part(f"widget state, model {model[:8]}", models, model, whole=True)
    for holder, known in ((notebook, {"cells", "worksheets", "metadata"}), (metadata, {"widgets"})):
        for key in [key for key in holder if key not in known] if isinstance(holder, dict) else []:
            yield Part(f"notebook, {key}", holder, key, whole=False)


def clean(notebook: dict[str, Any], replace: Callable[[str], str]) -> None:
    """Take out of a notebook, in place, what `replace` replaces in texts."""
    # From the end, so that taking one out moves none that is still to come.
    for part in reversed(list(parts(notebook))):
        text = part.text()
        replaced = replace(text)
        if replaced == text:
            continue
        if part.is_source:
            lines = isinstance(part.holder[part.key], list)
            part.holder[part.key] = replaced.splitlines(keepends=True) if lines else replaced
            continue
        del part.holder[part.key]
        if not part.whole:
            # Neither a secret nor its placeholder needs an escape: JSON stays JSON.
            part.holder.update(json.loads(replaced))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _joined(value: Any) -> Any:
    """The value with every list of lines, as Jupyter saves texts, made one text."""
    if isinstance(value, list):
        if value and all(isinstance(item, str) for item in value):
            return "".join(value)
        return [_joined(item) for item in value]
    if isinstance(value, dict):
        return {key: _joined(item) for key, item in value.items()}
    return value


def _decoded(value: Any) -> Iterator[str]:
    """The base64 texts below `value`, decoded: files dragged into a cell, widgets' buffers."""
    if isinstance(value, str) and len(value) >= 16:
        try:
            yield base64.b64decode(value, validate=True).decode("latin-1")
        except (ValueError, binascii.Error):
            return
    elif isinstance(value, (list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _decoded(item)
