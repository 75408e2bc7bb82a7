"""A whole private node for the demonstration, the tests and the benchmarks: settings, store, Asterisk and daemons below one folder.

Everything listens on loopback and on ports that were free. It is driven as an operator drives it: by the command line.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ari_app.private.ports import free_ports
from ari_app.private.root import Root
from ringfence.errors import RingfenceError, Unavailable
from ringfence.settings import Settings, load

_SETTINGS = """# Made for a private node; see docs/operating.md for every key.
node = "{name}"
home = "{home}"
log_level = "{log_level}"

[database]
url = "{database_url}"

[asterisk]
sip_host = "{sip_host}"
sip_port = {sip}
rtp_start = {rtp_start}
rtp_end = {rtp_end}
root = "{root}"
qualify_seconds = {qualify_seconds}
max_calls = {max_calls}
emergency_wait = {emergency_wait}

[ari]
port = {ari}
max_rate = {max_rate}

[agi]
port = {agi}

[ami]
port = {ami}

[routing]
drama_numbers = true

[health]
ari = {health_ari}
agi = {health_agi}
ledger = {health_ledger}
ami = {health_ami}
worker = {health_worker}
"""
_PORTS = ("sip", "ari", "agi", "ami", "health_ari", "health_agi", "health_ledger", "health_ami", "health_worker")


class PrivateNode:
    """One node below `home`.

    Args:
        root: its Asterisk.
        home: its folder; settings that are there already are kept.
        name: its name among nodes that share a store.
        database_url: the store; SQLite below `home` when empty.
        sip_host: the loopback address its Asterisk listens on.
        options: other values of the settings file: `max_rate`, `qualify_seconds`, `max_calls`, `emergency_wait`, `log_level`, `rtp_start`, `rtp_end`.
    """

    def __init__(self, root: Root, home: Path, *, name: str = "node1", database_url: str = "", sip_host: str = "127.0.0.1", **options: object) -> None:
        self.root = root
        self.home = home.absolute()
        self.config = self.home / "ringfence.toml"
        self._process: subprocess.Popen[bytes] | None = None
        self.home.mkdir(parents=True, exist_ok=True)
        if not self.config.exists():
            values: dict[str, object] = {
                "log_level": "info",
                "max_rate": 500.0,
                "qualify_seconds": 0,
                "max_calls": 0,
                "emergency_wait": 6.0,
                "rtp_start": 12000,
                "rtp_end": 19998,
            }
            values |= dict(zip(_PORTS, free_ports(len(_PORTS), (sip_host, "127.0.0.1")), strict=True))
            values |= {"name": name, "home": self.home, "database_url": database_url, "sip_host": sip_host, "root": root.path or ""}
            self.config.write_text(_SETTINGS.format(**(values | options)), encoding="utf-8")

    @property
    def settings(self) -> Settings:
        """Its settings."""
        return load(self.config, {})

    @property
    def sip_address(self) -> str:
        """Where carriers send calls: `host:port`."""
        asterisk = self.settings.asterisk
        return f"{asterisk.sip_host}:{asterisk.sip_port}"

    def cli(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `ringfence` with these arguments on this node.

        Raises:
            RingfenceError: it failed, and `check` is set.
        """
        command = [sys.executable, "-P", "-m", "cli", "--config", str(self.config), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, env=_environment(), timeout=600)
        if check and done.returncode:
            raise RingfenceError(f"ringfence {' '.join(arguments)} ended with {done.returncode}: {done.stderr.strip()}")
        return done

    def read(self, *arguments: str) -> Any:
        """Return what a command prints with --json."""
        return json.loads(self.cli(*arguments, "--json").stdout)

    def start(self, *, timeout: float = 40.0) -> None:
        """Start everything and wait until it takes calls.

        Raises:
            Unavailable: a part did not get ready; the message holds its last words.
        """
        console = self.home / "console"
        (self.home / "run").mkdir(exist_ok=True)
        self._up.unlink(missing_ok=True)
        with console.open("ab") as output:
            command = [sys.executable, "-P", "-m", "cli", "--config", str(self.config), "node", "up"]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=_environment(), start_new_session=True)
        deadline = time.monotonic() + timeout
        while not self._up.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                words = console.read_text(encoding="utf-8", errors="replace").splitlines()[-25:]
                raise Unavailable("the node did not start:\n" + "\n".join(words), hint=f"see the logs in {self.home / 'run'}")
            time.sleep(0.05)

    def stop(self, timeout: float = 40.0) -> None:
        """Stop everything that `start` started."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            for name in ("asterisk", "ari", "agi", "ami", "ledger", "worker"):
                with contextlib.suppress(OSError, ValueError):
                    os.kill(self.pid(name), signal.SIGKILL)
            self._process.kill()
            self._process.wait()
        self._process = None

    @property
    def running(self) -> bool:
        """Whether the node is up."""
        return self._process is not None and self._process.poll() is None

    def pid(self, service: str) -> int:
        """Return the process id of asterisk, ari, agi, ami or ledger."""
        return int((self.home / "run" / f"{service}.pid").read_text(encoding="ascii"))

    def signal(self, service: str, number: signal.Signals) -> None:
        """Send a signal to one of the node's processes."""
        os.kill(self.pid(service), number)

    @contextlib.contextmanager
    def frozen(self, *services: str) -> Iterator[None]:
        """Hold these processes where they are, and the supervisor first, so that it ends none that is stuck.

        Raises:
            Unavailable: one of them has ended and was not started again.
        """
        assert self._process is not None  # noqa: S101  it was started
        with contextlib.ExitStack() as held:
            wait_until(lambda: all(map(self._lives, services)), 20, " and ".join(services))
            for pid in (self._process.pid, *map(self.pid, services)):
                os.kill(pid, signal.SIGSTOP)
                held.callback(os.kill, pid, signal.SIGCONT)
            yield

    def _lives(self, service: str) -> bool:
        try:
            os.kill(self.pid(service), 0)
        except (OSError, ValueError):
            return False
        return True

    def log(self, service: str) -> str:
        """Return what a process wrote."""
        return (self.home / "run" / f"{service}.log").read_text(encoding="utf-8", errors="replace")

    def rx(self, command: str) -> str:
        """Return what Asterisk's own command line answers."""
        line = self.root.asterisk_command("-C", str(self.settings.conf_dir / "asterisk.conf"), "-rx", command)
        return subprocess.run(line, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL, timeout=20).stdout

    @property
    def _up(self) -> Path:
        return self.home / "run" / "up"


def wait_until(condition: Callable[[], object], timeout: float, what: str) -> None:
    """Wait until `condition` is true.

    Raises:
        Unavailable: it was not within `timeout` seconds; says `what` was waited for.
    """
    deadline, pause = time.monotonic() + timeout, 0.005
    while not condition():
        if time.monotonic() > deadline:
            raise Unavailable(f"waited {timeout:g} s in vain for {what}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)


def _environment() -> Mapping[str, str]:
    """Return this process's environment without settings, so that only the node's own file counts."""
    code = str(Path(__file__).resolve().parents[2])
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RINGFENCE_")}
    return {**kept, "PYTHONPATH": os.pathsep.join(part for part in (code, kept.get("PYTHONPATH", "")) if part)}
