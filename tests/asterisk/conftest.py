"""The Asterisk and SIPp of this machine, and short folders for their sockets."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ari_app.private.progress import shown_progress
from ari_app.private.root import Root, ensure_root
from tests.asterisk.stage import Stage


@pytest.fixture(scope="session")
def asterisk_root() -> Root:
    """Asterisk and SIPp, fetched when the machine has none: never a reason to skip."""
    with shown_progress() as progress:
        return ensure_root(progress=progress)


@pytest.fixture(scope="module")
def asterisk_home() -> Iterator[Path]:
    """A folder whose path is short enough for Asterisk's control socket."""
    folder = Path(tempfile.mkdtemp(prefix="rf-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def stage(asterisk_root: Root) -> Iterator[Stage]:
    """A running node, with trunks and phones, which tests of calls share."""
    home = Path(tempfile.mkdtemp(prefix="rf-"))
    stage = Stage(asterisk_root, home)
    try:
        stage.start()
        yield stage
    finally:
        stage.stop()
        shutil.rmtree(home)
