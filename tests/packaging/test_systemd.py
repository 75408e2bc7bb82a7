"""The units that are shipped: systemd knows every key of them, and they say what the design says."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.systemd import systemd_analyze

UNITS = Path(__file__).parents[2] / "asterisk-conf" / "systemd"
SERVICES = ("ari", "agi", "ami", "ledger", "worker")
PROGRAM = "/opt/ringfence/bin/ringfence"


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units in a folder, with a program that exists on this machine, and a stand-in for the unit of Asterisk's package."""
    folder = tmp_path / "units"
    shutil.copytree(UNITS, folder)
    for path in folder.glob("*.service"):
        path.write_text(path.read_text(encoding="utf-8").replace(PROGRAM, "/bin/true"), encoding="utf-8")
    (folder / "asterisk.service").write_text("[Unit]\nDescription=Asterisk\n[Service]\nType=notify\nExecStart=/bin/true\n", encoding="utf-8")
    return folder


def verify(folder: Path, *names: str) -> str:
    """Return all that systemd has to say of these units, and not of the machine's own; unknown keys are only warnings to it."""
    command = [*systemd_analyze(), "verify", "--man=no", *(str(folder / name) for name in names)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "SYSTEMD_UNIT_PATH": f"{folder}:"}, timeout=60)
    said = [line for line in (done.stdout + done.stderr).splitlines() if "ringfence" in line or "asterisk" in line or str(folder) in line]
    return "\n".join(said) + (f"exit code {done.returncode}" if done.returncode else "")


def test_systemd_has_nothing_to_say(units: Path) -> None:
    assert verify(units, *(f"ringfence-{name}.service" for name in SERVICES), "ringfence.target", "asterisk.service") == ""


def test_the_check_would_tell(units: Path) -> None:
    path = units / "ringfence-.service.d" / "common.conf"
    path.write_text(path.read_text(encoding="utf-8") + "WatchdogSignl=SIGKILL\n", encoding="utf-8")
    assert "WatchdogSignl" in verify(units, "ringfence-ari.service")


def read(path: Path) -> dict[str, str]:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(path.read_text(encoding="utf-8"))
    return dict(parser["Service"])


def test_what_keeps_calls_alive_is_set() -> None:
    common = read(UNITS / "ringfence-.service.d" / "common.conf")
    assert (common["Type"], common["Restart"], common["WatchdogSignal"], common["User"]) == ("notify", "always", "SIGKILL", "ringfence")
    services = {name: read(UNITS / f"ringfence-{name}.service") for name in SERVICES}
    assert services["ari"]["WatchdogSec"] == "1500ms"
    for name, service in services.items():
        assert service["ExecStart"] == (f"{PROGRAM} worker" if name == "worker" else f"{PROGRAM} node serve {name}")
        assert service["WatchdogSec"]
