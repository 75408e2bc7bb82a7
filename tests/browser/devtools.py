"""Chromium without a window, spoken to by the DevTools protocol over a pipe: opens a page, and tells what it said, asked for, and looks like."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from select import select
from typing import Any

from tests.browser.root import Program

_OPTIONS = (
    "--headless",
    "--no-sandbox",  # the tests may run as root, where the sandbox refuses
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
# It reads commands from descriptor 3 and answers on 4.
_START = """import os, sys
import fcntl
ends = [fcntl.fcntl(int(each), fcntl.F_DUPFD, 10) for each in sys.argv[1:3]]
os.dup2(ends[0], 3), os.dup2(ends[1], 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
_TOLD = {"Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded", "Network.requestWillBeSent"}


class Page:
    """One page in the browser."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser, self._session = browser, session
        self.events: list[dict[str, Any]] = []  # what it said and asked for

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result."""
        return self._browser.ask(method, self._session, parameters, self.events)

    def open(self, path: Path, width: int, height: int) -> None:
        """Open a file in a window of so many CSS pixels and wait until it is loaded."""
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500)
        self.ask("Page.navigate", url=path.as_uri())
        self._browser.wait_for("Page.loadEventFired", self._session, self.events)

    def value(self, expression: str) -> Any:
        """Return what a JavaScript expression gives."""
        result = self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def screenshot(self, path: Path) -> None:
        """Write the whole page as a PNG."""
        path.write_bytes(b64decode(self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=True)["data"]))

    def pdf(self) -> bytes:
        """Return the page as it is printed."""
        return b64decode(self.ask("Page.printToPDF", preferCSSPageSize=True, printBackground=False)["data"])

    def said(self) -> list[str]:
        """Return what the page said on the console: messages, errors, refusals."""
        return [json.dumps(event["params"]) for event in self.events if event["method"] in _TOLD - {"Network.requestWillBeSent"}]

    def requested(self) -> list[str]:
        """Return what the page asked for, itself and data in it apart."""
        urls = [event["params"]["request"]["url"] for event in self.events if event["method"] == "Network.requestWillBeSent"]
        return [url for url in urls if not url.startswith("data:")][1:]


class Browser:
    """A running Chromium."""

    def __init__(self, program: Program, profile: Path) -> None:
        theirs_in, self._to = os.pipe()
        self._from, theirs_out = os.pipe()
        self._said = (profile / "said").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-c", _START, str(theirs_in), str(theirs_out), str(program.path), *_OPTIONS, f"--user-data-dir={profile}"],
            pass_fds=(theirs_in, theirs_out),
            env={**os.environ, **program.environment},
            stdin=subprocess.DEVNULL,
            stdout=self._said,
            stderr=self._said,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._number, self._left, self._profile = 0, b"", profile
        self._waiting: list[dict[str, Any]] = []

    def page(self) -> Page:
        """Return a new page."""
        target = self.ask("Target.createTarget", None, {"url": "about:blank"}, [])["targetId"]
        return Page(self, self.ask("Target.attachToTarget", None, {"targetId": target, "flatten": True}, [])["sessionId"])

    def ask(self, method: str, session: str | None, parameters: dict[str, Any], events: list[dict[str, Any]]) -> dict[str, Any]:
        """Send a call and return its result; events that come meanwhile are kept."""
        self._number += 1
        call = {"id": self._number, "method": method, "params": parameters, **({"sessionId": session} if session else {})}
        os.write(self._to, json.dumps(call).encode() + b"\0")
        while True:
            message = self._next()
            if message.get("id") == self._number:
                assert "error" not in message, (method, message["error"])
                return dict(message["result"])
            if "method" in message:
                events.append(message)

    def wait_for(self, method: str, session: str, events: list[dict[str, Any]]) -> None:
        """Wait for an event."""
        while not any(event["method"] == method and event.get("sessionId") == session for event in events):
            events.append(self._next())

    def _next(self, timeout: float = 60.0) -> dict[str, Any]:
        ends = time.monotonic() + timeout
        while b"\0" not in self._left:
            if not select([self._from], [], [], max(ends - time.monotonic(), 0))[0]:
                raise TimeoutError(f"Chromium does not answer: {self._complaint()}")
            read = os.read(self._from, 1 << 20)
            if not read:
                raise ConnectionError(f"Chromium ended: {self._complaint()}")
            self._left += read
        message, _, self._left = self._left.partition(b"\0")
        return dict(json.loads(message))

    def _complaint(self) -> str:
        return (self._profile / "said").read_text(encoding="utf-8", errors="replace")[-800:]

    def close(self) -> None:
        """End it."""
        os.close(self._to)  # Chromium ends when its pipe does
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self._from)
        self._said.close()


@contextmanager
def running(program: Program) -> Iterator[Browser]:
    """Run a browser with a profile of its own."""
    profile = Path(tempfile.mkdtemp(prefix="rf-chromium-"))
    browser = Browser(program, profile)
    try:
        yield browser
    finally:
        browser.close()
        shutil.rmtree(profile, ignore_errors=True)
