from __future__ import annotations

import configparser
import re
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ALLOWED = ("MIT", "BSD", "Apache", "LGPL", "PSF", "ISC")


def required() -> list[str]:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    lines = config["options"]["install_requires"].split("\n")
    return [match[0] for line in lines if (match := re.match(r"[A-Za-z0-9_.-]+", line.strip()))]


def licence(name: str) -> str:
    data = metadata.metadata(name)
    classifiers = [line for line in data.get_all("Classifier") or [] if line.startswith("License")]
    said = [line for key in ("License-Expression", "License") for line in data.get_all(key) or []]
    texts = [path.read_text() for path in metadata.files(name) or [] if "licen" in path.name.lower()]  # some say it only there
    return " ".join([*said, *classifiers, *(text[:200] for text in texts)])


def test_every_dependency_has_its_reason_and_a_licence_that_allows_our_use() -> None:
    page = (ROOT / "docs" / "design" / "dependencies.md").read_text(encoding="utf-8").lower()
    rows = [line for line in page.splitlines() if line.startswith("|")]
    for name in required():
        assert any(line.startswith(f"| {name.lower()}") for line in rows), f"{name} is not explained in docs/design/dependencies.md"
        assert any(word in licence(name) for word in ALLOWED), f"{name}: {licence(name)!r}"


def test_every_dependency_is_pinned_with_hashes() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8").lower()
    for name in required():
        assert re.search(rf"^{re.escape(name.lower())}(\[[a-z]+\])?==[^\n]+\\\n +--hash=sha256:", lock, re.MULTILINE), name
