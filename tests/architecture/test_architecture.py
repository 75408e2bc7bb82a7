from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.sources import PROJECT, calls, imports, sources

LONGEST = 500  # lines; the norm is 60 to 200
SQL = {"select", "insert", "update", "delete", "text", "union", "union_all", "exists"}
MAY_SPEAK_SQL = ("ringfence/queries/", "migrations/")
MAY_TELL_THE_TIME = ("ringfence/clock.py", "retention/verify/clock.py")  # the auditor's programs import nothing of the product
CLOCK = {
    ("datetime", "now"),
    ("datetime", "utcnow"),
    ("datetime", "today"),
    ("datetime", "fromtimestamp"),
    ("date", "today"),
    ("date", "fromtimestamp"),
    ("time", "time"),
    ("time", "time_ns"),
    ("time", "localtime"),
    ("time", "gmtime"),
}
BEFORE_ANYTHING_IS_INSTALLED = ("ari_app/__init__.py", "ari_app/private/__init__.py", "ari_app/private/apt.py", "ringfence/__init__.py", "ringfence/errors.py")


def test_the_layers_hold() -> None:
    done = subprocess.run([str(Path(sys.executable).parent / "lint-imports"), "--no-cache"], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_imports_the_command_line() -> None:
    found = [path for path, tree in sources("bench").items() for module, _ in imports(tree) if module == "cli" or module.startswith("cli.")]
    assert found == []


def test_only_the_command_line_imports_commands() -> None:
    found = [
        (path, module)
        for path, tree in sources().items()
        if path != "cli.py" and "/commands/" not in path
        for module, name in imports(tree)
        if "commands" in module.split(".") or (name == "commands" and module in {"ringfence", "ari_app", "retention"})
    ]
    assert found == []


def test_only_the_clock_tells_the_time() -> None:
    found = [
        f"{path}:{line}"
        for path, tree in sources().items()
        if path not in MAY_TELL_THE_TIME
        for owner, function, line in calls(tree)
        if (owner, function) in CLOCK
    ]
    imported = [path for path, tree in sources().items() if path not in MAY_TELL_THE_TIME and ("time", "time") in set(imports(tree))]
    assert (found, imported) == ([], [])


def test_only_queries_and_migrations_speak_sql() -> None:
    found = [
        (path, name)
        for path, tree in sources().items()
        if not path.startswith(MAY_SPEAK_SQL)
        for module, name in imports(tree)
        if module.split(".")[0] == "sqlalchemy" and name in SQL
    ]
    through_the_module = [
        f"{path}:{line}"
        for path, tree in sources().items()
        if not path.startswith(MAY_SPEAK_SQL)
        for owner, function, line in calls(tree)
        if owner in {"sa", "sqlalchemy"} and function in SQL
    ]
    assert (found, through_the_module) == ([], [])


def test_no_module_is_too_long() -> None:
    found = {path: len((PROJECT / path).read_text(encoding="utf-8").splitlines()) for path in sources("bench", "tests", "tools")}
    assert {path: lines for path, lines in found.items() if lines > LONGEST} == {}


@pytest.mark.parametrize("folder", ["ari_app", "bench", "dialplan", "migrations", "retention", "ringfence", "tests"])
def test_every_folder_with_modules_is_a_package(folder: str) -> None:
    folders = {path.parent for path in (PROJECT / folder).rglob("*.py") if "templates" not in path.parts and path.parent.name != "versions"}
    assert {str(path.relative_to(PROJECT)) for path in folders if not (path / "__init__.py").is_file()} == set()


def test_every_package_says_what_it_is_for() -> None:
    packages = {path: tree for path, tree in sources().items() if path.endswith("__init__.py")}
    assert {path for path, tree in packages.items() if not ast.get_docstring(tree)} == set()


def test_the_set_up_needs_only_the_standard_library() -> None:
    trees = sources("tools")
    found = {
        (path, module)
        for path in (*BEFORE_ANYTHING_IS_INSTALLED, "tools/setup_venv.py")
        for module, _ in imports(trees[path])
        if module.split(".")[0] not in sys.stdlib_module_names
    }
    assert found == {
        ("ari_app/private/apt.py", "ringfence.errors"),
        ("tools/setup_venv.py", "ari_app.private.apt"),
        ("tools/setup_venv.py", "ringfence.errors"),
    }
