"""The documentation: it builds strictly, covers each magic and error code, and its links work."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote, urlsplit

import pytest

import supabase_nb
from supabase_nb import errors
from supabase_nb.notebook._magics.session_magics import COMMANDS
from supabase_nb.notebook._magics.sign_in_magics import SIGN_IN_COMMANDS

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "supabase_nb"


@pytest.fixture(scope="module")
def generated() -> ModuleType:
    """tools/docs.py, a Markdown extension."""
    spec = importlib.util.spec_from_file_location("docs_parts", ROOT / "tools" / "docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_navigation_has_every_page() -> None:
    """Zensical's strict mode doesn't look at that."""
    navigation = (ROOT / "mkdocs.yml").read_text("utf-8").partition("\nnav:")[2]
    listed = re.findall(r"[\w-]+\.md", navigation)
    assert sorted(listed) == sorted(page.name for page in (ROOT / "docs").glob("*.md"))


def test_each_magic_is_documented(site: Path) -> None:
    page = (site / "magics" / "index.html").read_text("utf-8")
    for name in COMMANDS | SIGN_IN_COMMANDS:
        assert f"<code>%{name}</code>" in page
    assert "--allow-secret-key" in page  # an option, so the parsers were asked


def test_each_error_code_is_documented(site: Path, generated: ModuleType) -> None:
    page = (site / "errors" / "index.html").read_text("utf-8")
    raised = {
        code
        for file in PACKAGE.rglob("*.py")
        if "demo" not in file.parts
        for code in re.findall(r"""\bcode=["'](\w+)["']""", file.read_text("utf-8"))
    }
    known = raised | set(errors.NEXT_STEPS) | errors.FINAL_CODES
    assert len(known) > 30
    for code in known:
        assert f"<code>{code}</code>" in page
    assert set(generated.MEANINGS) == set(errors.NEXT_STEPS)
    assert set(generated.OWN) <= raised


def test_each_public_name_is_documented(site: Path) -> None:
    pages = "".join((site / name / "index.html").read_text("utf-8") for name in ("api", "errors"))
    for name in set(supabase_nb.__all__) - {"__version__"}:
        assert re.search(rf'id="supabase_nb\.[\w.]*\b{name}"', pages), name


class Loads(HTMLParser):
    """The addresses that a page loads by itself: scripts, styles, images, frames."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        rel = (given.get("rel") or "").split()
        if tag in ("script", "img", "iframe", "source", "object") and given.get("src"):
            self.found.append(given["src"] or "")
        if tag == "link" and {"stylesheet", "preload", "preconnect", "icon", "modulepreload"} & set(rel):
            self.found.append(given.get("href") or "")


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    for file, address in loads(site):
        assert not urlsplit(address).netloc, f"{file.name} loads {address}"
        if not address.startswith("data:"):
            assert (file.parent / unquote(urlsplit(address).path)).exists(), f"{file} lacks {address}"
    styles = "".join(file.read_text("utf-8") for file in site.rglob("*.css"))
    assert not re.search(r"(?:@import|url\()\s*[\"']?(?:https?:)?//", styles)


def loads(site: Path) -> Iterator[tuple[Path, str]]:
    pages = [file for file in site.rglob("*.html") if file.name != "404.html"]
    assert len(pages) > 10
    for file in pages:
        parser = Loads()
        parser.feed(file.read_text("utf-8"))
        assert parser.found
        yield from ((file, address) for address in parser.found)


class Targets(HTMLParser):
    """The links of a page, and what on it can be linked to."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.feed(file.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids |= {value for name in ("id", "name") if (value := given.get(name))}
        if tag == "a" and (link := given.get("href")):
            self.links.append(link)


def test_links_of_the_site_lead_somewhere(site: Path) -> None:
    pages = {file: Targets(file) for file in site.rglob("*.html") if file.name != "404.html"}
    checked, broken = 0, []
    for file, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            target = target / "index.html" if target.is_dir() else target
            checked += 1
            if not target.is_file() or (
                parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].ids
            ):
                broken.append(f"{file.relative_to(site)}: {link}")
    assert checked > 500
    assert broken == []


def test_links_of_the_readme_lead_somewhere() -> None:
    """A package index shows the README too, so its links are absolute."""
    site, source, raw = (
        "https://supabase-nb.readthedocs.io/",
        "https://github.com/supabase-nb/supabase-nb/blob/main/",
        "https://raw.githubusercontent.com/supabase-nb/supabase-nb/main/",
    )
    links = re.findall(r"\]\(([^)\s]+)\)", (ROOT / "README.md").read_text("utf-8"))
    for link in links:
        assert urlsplit(link).scheme == "https", link
        path = unquote(urlsplit(link).path)
        if link.startswith(site):
            assert (ROOT / "docs" / f"{path.strip('/') or 'index'}.md").is_file(), link
        for files in (source, raw):
            if link.startswith(files):
                assert (ROOT / link.removeprefix(files)).is_file(), link
    assert all(any(link.startswith(start) for link in links) for start in (site, source, raw))


def test_links_of_the_other_pages_lead_somewhere() -> None:
    for name in ("CONTRIBUTING.md", "CHANGELOG.md"):
        for address in re.findall(r"\]\(([^)\s]+)\)", (ROOT / name).read_text("utf-8")):
            if not urlsplit(address).scheme:
                assert (ROOT / address.partition("#")[0]).exists(), f"{name}: {address}"
