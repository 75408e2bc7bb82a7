from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
PARTS = ("cli.py", "setup.cfg", "pyproject.toml", "README.md", "MANIFEST.in", "ringfence", "dialplan", "ari_app", "retention", "migrations", "asterisk-conf")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy, so that the work tree stays as it is."""
    copy, out = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("wheel")
    for part in PARTS:
        if (PROJECT / part).is_dir():
            shutil.copytree(PROJECT / part, copy / part, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(PROJECT / part, copy / part)
    build = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", build, str(out)], cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(out.glob("*.whl"))


def relative(folder: str, pattern: str) -> set[str]:
    return {str(path.relative_to(PROJECT)) for path in (PROJECT / folder).rglob(pattern) if path.is_file() and "__pycache__" not in path.parts}


def test_it_holds_every_module_and_every_file_that_modules_read(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {"cli.py"} | relative("ringfence", "*.py") | relative("ari_app", "*.py") | relative("retention", "*.py") | relative("migrations", "*.py")
    assert modules - names == set()
    assert relative("ari_app/private/scenarios", "*") - names == set()
    assert {name.replace("asterisk-conf/", "dialplan/templates/", 1) for name in relative("asterisk-conf", "*")} - names == set()
    assert relative("retention", "*.toml") - names == set()
    assert "migrations/script.py.mako" in names


def test_it_holds_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == {"cli.py", "ringfence", "dialplan", "ari_app", "retention", "migrations"}
    assert [name for name in names if name.endswith((".pyc", ".db", ".log"))] == []


def test_it_runs_from_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    """Installed as a user would, with this environment's libraries lent by a path file, so that nothing is downloaded.

    The editable install does not come with them: path files in a folder that a path file names are not read.
    """
    home = tmp_path / "venv"
    venv.create(home, with_pip=False, symlinks=True)
    site = next(home.glob("lib/python*/site-packages"))
    zipfile.ZipFile(wheel).extractall(site)
    (site / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    code = "import cli, dialplan, ari_app.private.scenario as s; print(cli.__file__); print(len(s.render(s.Answers())) > 500); cli.main()"
    environment = {key: value for key, value in os.environ.items() if key not in {"PYTHONPATH", "COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG"}}
    done = subprocess.run([str(home / "bin/python"), "-c", code, "--help"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:2] == [str(site / "cli.py"), "True"]
