"""The project's own Python files, parsed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
PACKAGES = ("ringfence", "dialplan", "ari_app", "retention", "migrations")


@cache
def sources(*extra: str) -> dict[str, ast.Module]:
    """Return the syntax tree of every module of the packages, of cli.py, and of the folders named, by path below the project."""
    paths = [PROJECT / "cli.py"]
    for folder in (*PACKAGES, *extra):
        paths.extend(path for path in sorted((PROJECT / folder).rglob("*.py")) if "templates" not in path.parts)
    return {str(path.relative_to(PROJECT)): ast.parse(path.read_text(encoding="utf-8"), str(path)) for path in paths}


def imports(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield (module, name) for everything a module imports; the name is empty for `import module`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from ((node.module or "", alias.name) for alias in node.names)


def calls(tree: ast.AST) -> Iterator[tuple[str, str, int]]:
    """Yield (owner, function, line) for every call like `owner.function()`; the owner is empty for `function()`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name):
                yield "", node.func.id, node.lineno
            elif isinstance(node.func, ast.Attribute):
                owner = node.func.value
                name = owner.id if isinstance(owner, ast.Name) else owner.attr if isinstance(owner, ast.Attribute) else "?"
                yield name, node.func.attr, node.lineno
