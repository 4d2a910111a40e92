"""The widgets' ES modules and style sheets: complete, typed, tested, and without network access."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from supabase_nb.notebook._displays.assets import read_css, read_esm
from supabase_nb.notebook.text import WORDS

JS = Path(__file__).parents[1] / "js"
STATIC = Path(__file__).parents[2] / "supabase_nb" / "notebook" / "_displays" / "static"
#: The modules that are a widget's entry.
ENTRIES = [path.name for path in sorted(STATIC.glob("*.mjs")) if "\nexport default" in path.read_text()]


@pytest.fixture(scope="module")
def node() -> str:
    path = shutil.which("node")
    if path is None:
        pytest.skip("node is not installed")
    return path


def run(*command: str | Path, cwd: Path = JS, text: str | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, input=text, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_there_are_entries() -> None:
    assert "widgets.mjs" in ENTRIES


@pytest.mark.parametrize("entry", ENTRIES)
def test_what_the_browser_gets_is_one_whole_module(entry: str, node: str) -> None:
    module = read_esm(entry)
    assert not re.search(r"^import\b", module, re.MULTILINE)
    assert module.count("export default") == 1
    # Also finds names that two files have in common.
    run(node, "--input-type=module", "--check", text=module)


def test_comments_and_indentation_stay_here() -> None:
    """They are for readers of the files: a third of the text, which travels and is saved with each model."""
    module, sheet = (
        read_esm("widgets.mjs"),
        read_css("shared.css", "parts.css", "panel.css", "form.css", "providers.css", "second_factor.css"),
    )
    for text in (module, sheet):
        assert not re.search(r"^(?:\s|//|/\*)", text, re.MULTILINE)
    for path in STATIC.glob("*.mjs"):
        for line in path.read_text().splitlines():
            assert line.count("`") % 2 == 0, "a text over several lines would lose its indentation"


@pytest.mark.parametrize("path", sorted(STATIC.iterdir()), ids=lambda path: path.name)
def test_nothing_is_loaded_from_elsewhere(path: Path) -> None:
    text = path.read_text().replace("http://www.w3.org/2000/svg", "")
    if path.name == "return_page.mjs":  # asks the notebook's own server whether it serves a page of ours
        text = text.replace("return fetch(address, ", "", 1)
    assert not re.search(r"https?://|url\(|@import|fetch\(", text)


def test_the_style_sheets_stay_inside_their_widgets() -> None:
    """A style sheet of an anywidget holds for the whole page: each selector must be one of ours."""
    css = read_css("shared.css", "parts.css", "panel.css", "form.css", "providers.css", "second_factor.css")
    css = re.sub(r"@keyframes[^{}]*\{(?:[^{}]*\{[^{}]*\})*\s*\}", "", css)
    for selectors in re.findall(r"([^{};]+){", css):
        if not selectors.strip().startswith("@"):
            assert all(".sb" in part for part in re.split(r",(?![^(]*\))", selectors)), selectors


def test_every_word_that_is_asked_for_exists() -> None:
    source = "".join(path.read_text() for path in STATIC.glob("*.mjs"))
    asked = set(re.findall(r'(?:translate|row)\(words, "([\w.]+)"', source))
    assert len(asked) > 20
    assert asked <= set(WORDS)


def test_every_text_gets_what_it_names() -> None:
    source = "".join(path.read_text() for path in STATIC.glob("*.mjs"))
    calls = re.findall(r'translate\(\s*words,\s*"([\w.]+)"\s*(?:,\s*\{(.*?)\})?\s*\)', source)
    assert len(calls) > 60
    for key, values in calls:
        named = set(re.findall(r"\{(\w+)\}", WORDS[key]))
        given = set(re.findall(r"(?:^|,)\s*(\w+)\s*(?=[:,]|$)", values))
        assert named == given, key


def test_types(node_modules: Path, node: str) -> None:
    run(node, node_modules / "typescript" / "bin" / "tsc", "--project", ".")


def test_units(node: str) -> None:
    run(node, "--test")
