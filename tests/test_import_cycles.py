"""No module imports itself through other modules, not even inside a function."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import supabase_nb

ROOT = Path(supabase_nb.__file__).parent


def module_name(file: Path) -> str:
    parts = file.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(file): file for file in ROOT.rglob("*.py")}


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """All statements, except imports for type checkers."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from statements(child)


def imported_by(name: str) -> set[str]:
    file = FILES[name]
    package = name.split(".") if file.name == "__init__.py" else name.split(".")[:-1]
    found = set()
    for node in statements(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            home = ".".join([*base, *filter(None, [node.module])])
            submodules = {f"{home}.{alias.name}" for alias in node.names}
            found.update(submodules if submodules <= FILES.keys() else submodules | {home})
    return (found & FILES.keys()) - {name}


def test_imports_have_no_cycle() -> None:
    imports = {name: imported_by(name) for name in FILES}
    assert "supabase_nb.auth._owner_loop" in imports["supabase_nb.auth.client"]
    assert "supabase_nb.auth.mfa" in imports["supabase_nb.auth.client"]  # inside a function
    TopologicalSorter(imports).prepare()  # raises CycleError, which names the cycle
