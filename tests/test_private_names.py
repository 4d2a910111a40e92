"""A package reads no private attribute of another one."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import supabase_nb

ROOT = Path(supabase_nb.__file__).parent


def private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def defined(node: ast.AST) -> list[str]:
    """The names that a statement defines."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    parts = [part for target in targets if target for part in ast.walk(target)]
    return [getattr(part, "attr", getattr(part, "id", "")) for part in parts]


def test_no_private_attribute_of_another_package_is_read() -> None:
    names, reads = defaultdict(set), []
    for file in ROOT.rglob("*.py"):
        package = file.parent.relative_to(ROOT)
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names[package].update(filter(private, defined(node)))
            if isinstance(node, ast.Attribute) and private(node.attr):
                reads.append((package, node.attr, f"{file.relative_to(ROOT)}:{node.lineno}"))
    ours = set().union(*names.values())
    assert "_manager" in names[Path("auth")]
    assert [place for package, name, place in reads if name in ours - names[package]] == []
