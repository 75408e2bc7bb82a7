"""Published checkpoints: files beside the store, for whoever watches the log from outside."""

from __future__ import annotations

import os
from pathlib import Path

from ringfence.audit.notes import Checkpoint


def publish(checkpoint: Checkpoint, folder: Path) -> Path:
    """Write a committed checkpoint as `<size>.note`, and as `checkpoint`, which always is the newest; return the first file.

    Nothing is written over: a second checkpoint of one size has the same text, or is not of this log.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{checkpoint.size:012d}.note"
    if not path.exists():
        _write(path, checkpoint.note)
    _write(folder / "checkpoint", checkpoint.note)
    return path


def _write(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with draft.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
