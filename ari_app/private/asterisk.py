"""Starts and stops one Asterisk on a folder of configuration files that somebody else rendered."""

from __future__ import annotations

import base64
import http.client
import os
import re
import resource
import signal
import subprocess
import time
from pathlib import Path

import msgspec

from ari_app.private.root import Root
from ringfence.errors import Conflict, Misconfigured, Unavailable

_DIRECTORY = re.compile(r"\s*(ast\w+dir)\s*=>?\s*([^;]*?)\s*(?:;.*)?")
_LONGEST_SOCKET = 107  # bytes in a Unix socket's path (unix(7))
_OPEN_FILES = 65536  # a call takes a dozen file descriptors; the usual 1024 end at some 80 calls


class AriDoor(msgspec.Struct, frozen=True):
    """Where this Asterisk's HTTP server is, and who may enter."""

    host: str
    port: int
    user: str
    secret: str


class PrivateAsterisk:
    """An Asterisk in the foreground of a session of its own, so that a terminal's Ctrl-C does not reach it.

    Args:
        root: which Asterisk.
        etc_dir: folder with asterisk.conf and the rest; asterisk.conf sets every directory.
        ari: asked by `wait_ready`.
        console: file that Asterisk's output is appended to; `console` in its log folder when None.
    """

    def __init__(self, root: Root, etc_dir: Path, *, ari: AriDoor, console: Path | None = None) -> None:
        self.root = root
        self.etc_dir = etc_dir.absolute()
        self.ari = ari
        self.directories = read_directories(self.etc_dir / "asterisk.conf")
        self.console = console or self.directories["astlogdir"] / "console"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id of the running Asterisk."""
        if self._process is None:
            raise Conflict("Asterisk was not started", hint="start it first")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process that was started is still alive."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start Asterisk; `wait_ready` tells when it takes calls.

        Raises:
            Conflict: an Asterisk runs on the same folders.
            Misconfigured: the path of its control socket is too long.
        """
        if self.running:
            raise Conflict("Asterisk runs already", hint="stop it first")
        self._make_directories()
        self._remove_stale_socket()
        command = self.root.asterisk_command("-C", str(self.etc_dir / "asterisk.conf"), "-f")
        with self.console.open("ab") as console:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=console, stderr=console, cwd=self.directories["astlogdir"], start_new_session=True
            )
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        limit = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
        resource.prlimit(self._process.pid, resource.RLIMIT_NOFILE, (limit, hard))

    def wait_ready(self, timeout: float = 30.0) -> None:
        """Wait until ARI answers `GET asterisk/info`.

        Raises:
            Unavailable: Asterisk ended, or did not answer within `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while self._ari_status() != http.HTTPStatus.OK:
            if not self.running:
                raise Unavailable(f"Asterisk ended while it started:\n{self._last_words()}", hint=f"see {self.console}")
            if time.monotonic() > deadline:
                raise Unavailable(f"Asterisk did not get ready within {timeout:g} s:\n{self._last_words()}", hint=f"see {self.console}")
            time.sleep(0.05)

    def stop(self, timeout: float = 15.0) -> None:
        """End the calls that are up and Asterisk, its records written; by force after `timeout` seconds."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End Asterisk at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, such as SIGSTOP."""
        os.kill(self.pid, number)

    def rx(self, command: str, timeout: float = 20.0) -> str:
        """Return what Asterisk's command line answers to `command`.

        Raises:
            Unavailable: Asterisk cannot be reached or does not answer.
        """
        line = self.root.asterisk_command("-C", str(self.etc_dir / "asterisk.conf"), "-rx", command)
        try:
            done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=timeout)
        except subprocess.TimeoutExpired as error:
            raise Unavailable(f"Asterisk did not answer within {timeout:g} s", hint=f"see {self.console}") from error
        if done.returncode:
            raise Unavailable(f"Asterisk cannot be reached: {done.stderr.decode(errors='replace').strip()}", hint=f"see {self.console}")
        return done.stdout.decode(errors="replace")

    def _make_directories(self) -> None:
        """Make what Asterisk writes to. It makes no cdr-custom by itself, and then loses the ledger without a word."""
        for name in ("astdbdir", "astspooldir", "astrundir", "astlogdir", "astkeydir", "astagidir"):
            self.directories[name].mkdir(parents=True, exist_ok=True)
        for folder in ("cdr-custom", "cel-custom"):
            (self.directories["astlogdir"] / folder).mkdir(exist_ok=True)
        self.console.parent.mkdir(parents=True, exist_ok=True)

    def _remove_stale_socket(self) -> None:
        control = self.directories["astrundir"] / "asterisk.ctl"
        if len(os.fsencode(control)) > _LONGEST_SOCKET:
            raise Misconfigured(f"the path of {control} is longer than {_LONGEST_SOCKET} bytes", hint="use a shorter home folder")
        if self._other_pid() is not None:
            raise Conflict(f"an Asterisk runs on {control.parent} already", hint=f"stop the process {self._other_pid()} first")
        control.unlink(missing_ok=True)

    def _other_pid(self) -> int | None:
        """Return the process that a former start left running on these folders."""
        try:
            pid = int((self.directories["astrundir"] / "asterisk.pid").read_text(encoding="ascii"))
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return None
        return pid if os.fsencode(self.etc_dir / "asterisk.conf") in arguments else None

    def _ari_status(self) -> int | None:
        credentials = base64.b64encode(f"{self.ari.user}:{self.ari.secret}".encode()).decode()
        connection = http.client.HTTPConnection(self.ari.host, self.ari.port, timeout=2)
        try:
            connection.request("GET", "/ari/asterisk/info", headers={"Authorization": f"Basic {credentials}"})
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def _last_words(self) -> str:
        return "\n".join(self.console.read_text(encoding="utf-8", errors="replace").splitlines()[-20:])


def read_directories(path: Path) -> dict[str, Path]:
    """Return the `[directories]` of an asterisk.conf.

    Raises:
        Misconfigured: the file cannot be read, or leaves a directory that Asterisk writes to at its built-in default.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise Misconfigured(f"cannot read {path}: {error.strerror}", hint="run 'ringfence config apply' to write it") from error
    found = {match[1]: Path(match[2]) for match in map(_DIRECTORY.fullmatch, lines) if match}
    for name in ("astdbdir", "astspooldir", "astrundir", "astlogdir", "astkeydir", "astagidir"):
        if name not in found:
            raise Misconfigured(f"{path} does not set {name}", hint="every directory must be set, or Asterisk uses the machine's own")
    return found
