from __future__ import annotations

import configparser
import re
from importlib.metadata import version
from pathlib import Path

from packaging.requirements import Requirement

PROJECT = Path(__file__).resolve().parents[2]
LOCKED = re.compile(r"^(?P<name>[a-z0-9-]+)==(?P<version>\S+)(?: ; (?P<marker>[^\\]+?))? \\$", re.MULTILINE)


def locked() -> dict[str, str]:
    text = (PROJECT / "requirements.lock").read_text(encoding="utf-8")
    return {match["name"]: match["version"] for match in LOCKED.finditer(text)}


def wanted() -> list[Requirement]:
    setup = configparser.ConfigParser()
    setup.read(PROJECT / "setup.cfg", encoding="utf-8")
    lines = setup["options"]["install_requires"] + setup["options.extras_require"]["dev"]
    return [Requirement(line) for line in lines.split("\n") if line.strip()]


def test_the_lock_holds_what_setup_cfg_asks_for() -> None:
    pins = locked()
    for requirement in wanted():
        assert requirement.specifier.contains(pins[requirement.name.lower()]), f"{requirement}: run 'make lock'"


def test_every_pin_has_hashes_and_no_address() -> None:
    text = (PROJECT / "requirements.lock").read_text(encoding="utf-8")
    blocks = LOCKED.split(text)
    assert len(LOCKED.findall(text)) > 30
    assert all("--hash=sha256:" in block for block in blocks[4::4])
    assert "://" not in text


def test_this_environment_is_the_locked_one() -> None:
    pins = locked()
    assert {requirement.name: version(requirement.name) for requirement in wanted()} == {
        requirement.name: pins[requirement.name.lower()] for requirement in wanted()
    }
