"""A bundle as files in memory: read from a folder or a tar, without unpacking anything; written as a tar in one way only."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

from retention.verify.format import MANIFEST, PARTS, SIGNATURE

NAMES = frozenset({MANIFEST, SIGNATURE, *PARTS})
LARGEST = 4_000_000_000  # bytes of a file


class Unreadable(Exception):
    """What was given is no bundle: file and reason."""

    def __init__(self, file: str, reason: str) -> None:
        super().__init__(f"{file}: {reason}")
        self.file = file
        self.reason = reason


def read(path: Path) -> dict[str, bytes]:
    """Return the files of the bundle at `path`, a folder or a tar.

    Raises:
        Unreadable: it is neither, or holds something that is not a bundle's file.
        OSError: it cannot be read.
    """
    return _read_folder(path) if path.is_dir() else _read_tar(path)


def pack(files: Mapping[str, bytes]) -> bytes:
    """Return files as a tar whose every byte follows from them: sorted, no times, no owners."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in sorted(files):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(files[name]), 0o644
            tar.addfile(member, io.BytesIO(files[name]))
    return buffer.getvalue()


def _read_folder(path: Path) -> dict[str, bytes]:
    files = {}
    for entry in sorted(path.iterdir()):
        if entry.name not in NAMES:
            raise Unreadable(entry.name, "this is not a file of a bundle")
        if entry.is_symlink() or not entry.is_file() or entry.stat().st_size > LARGEST:
            raise Unreadable(entry.name, "this is not an ordinary file of acceptable size")
        files[entry.name] = entry.read_bytes()
    return files


def _read_tar(path: Path) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    data = path.read_bytes()
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
            for member in tar:
                if member.name not in NAMES or member.name in files or not member.isreg() or member.sparse is not None:
                    raise Unreadable(path.name, "it holds something that is not a file of a bundle")
                content = tar.extractfile(member)
                files[member.name] = content.read() if content else b""
    except (tarfile.TarError, ValueError, OSError, EOFError, OverflowError, IndexError) as error:
        raise Unreadable(path.name, "it is not a tar, or is cut off") from error
    if pack(files) != data:
        raise Unreadable(path.name, "its bytes are not those that its files give; it was changed or cut off")
    return files
