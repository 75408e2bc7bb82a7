"""Every kind of file that the product, or the Asterisk beside it, writes: where it lies and what data class it holds.

A file that no kind names is a gap in the data map: `unmapped` lists them, and tests walk the folders of a node that has run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path

import msgspec

from retention.classes import Source
from ringfence.models.base import DataClass
from ringfence.settings import Settings


class Folder(StrEnum):
    """The folders that a node writes to."""

    HOME = "home"  # settings: home
    LOG = "log"  # Asterisk's log folder
    CONF = "conf"  # Asterisk's configuration
    SPOOL = "spool"  # Asterisk's spool: voicemail, recordings
    DB = "db"  # Asterisk's own database


class FileKind(msgspec.Struct, frozen=True):
    """One kind of file."""

    folder: Folder
    patterns: tuple[str, ...]  # below the folder; '*' also matches '/'
    data_class: DataClass | None  # None: it holds rows, and each row ends by its own class
    purpose: str
    source: Source
    personal: bool = True

    @property
    def place(self) -> str:
        """Where such files lie, for people: '<home>/journal/*'."""
        return ", ".join(f"<{self.folder}>/{pattern}" for pattern in self.patterns)


_D, _F, _S = DataClass, Folder, Source

FILE_KINDS: tuple[FileKind, ...] = (
    FileKind(
        _F.HOME, ("ringfence.db", "ringfence.db-wal", "ringfence.db-shm"), None, "the store, when it is SQLite: each row ends by its own class", _S.SYSTEM
    ),
    FileKind(_F.LOG, ("cdr-custom/ledger.json*",), _D.LEDGER, "the switch's own record of every call, from which calls are booked", _S.LEDGER),
    FileKind(_F.HOME, ("journal/*.jsonl*",), _D.LEDGER, "what was decided for each call, before it was handed over", _S.LEDGER),
    FileKind(_F.LOG, ("messages*", "security*", "queue_log*", "console*"), _D.LOG, "what Asterisk says: faults, and who failed to register", _S.SYSTEM),
    FileKind(_F.HOME, ("run/*.log*", "console*"), _D.LOG, "what the daemons say; phone numbers masked", _S.SYSTEM),
    FileKind(_F.HOME, ("run/*.pid", "run/up", "*.lock", "asterisk/run/*"), _D.OPERATIONAL, "which process runs", _S.SYSTEM, personal=False),
    FileKind(_F.HOME, ("ringfence.toml",), _D.OPERATIONAL, "this node's settings", _S.OPERATOR, personal=False),
    FileKind(_F.HOME, ("secrets/*", "asterisk/keys/*"), _D.OPERATIONAL, "keys and passwords of the installation", _S.SYSTEM, personal=False),
    FileKind(_F.CONF, ("geolocation.conf",), _D.EMERGENCY_ADDRESS, "where phones are, for emergency trunks that ask for it: made from the store", _S.CUSTOMER),
    FileKind(_F.CONF, ("*",), _D.ACCOUNT, "Asterisk's configuration, made from the store at each change: phones, numbers, trunks", _S.SYSTEM),
    FileKind(_F.DB, ("astdb.sqlite3*",), _D.NUMBERING, "Asterisk's copy of where each number goes, kept equal to the store", _S.SYSTEM),
    FileKind(_F.SPOOL, ("voicemail/*/msg*",), _D.VOICEMAIL, "messages that callers left", _S.CARRIER),
    FileKind(_F.SPOOL, ("voicemail/*",), _D.SOUND, "what a mailbox says to callers", _S.CUSTOMER),
    FileKind(_F.SPOOL, ("monitor/service/*",), _D.SERVICE_RECORDING, "recorded calls to the operator's own service lines", _S.LEDGER),
    FileKind(_F.SPOOL, ("monitor/*", "recording/*"), _D.RECORDING, "calls that a customer had recorded", _S.LEDGER),
    FileKind(_F.HOME, ("sounds/*",), _D.SOUND, "greetings, prompts and hold music", _S.CUSTOMER),
    FileKind(_F.HOME, ("spool/*",), _D.SPOOL, "messages and notices on their way", _S.SYSTEM),
    FileKind(_F.HOME, ("emergency/*",), _D.SPOOL, "batches of addresses for carriers that take files, and their answers", _S.CUSTOMER),
    FileKind(_F.HOME, ("exports/*",), _D.EXPORT, "what was exported for somebody", _S.SYSTEM),
    FileKind(_F.HOME, ("audit/*",), _D.AUDIT_LOG, "the audit log's published checkpoints and its verifier key", _S.SYSTEM, personal=False),
    FileKind(_F.HOME, ("reports/*", "evidence/*"), _D.PROOF, "retention reports and evidence bundles: counts and proofs", _S.SYSTEM, personal=False),
    FileKind(_F.HOME, ("backups/*",), _D.BACKUP, "encrypted copies of the store and of customers' files", _S.SYSTEM),
)


def folders(settings: Settings) -> dict[Folder, Path]:
    """Return where this node's folders are: Asterisk's own below `home`, or Debian's when its configuration lies elsewhere."""
    home = settings.home_path
    private = settings.conf_dir.absolute().is_relative_to(home)
    return {
        Folder.HOME: home,
        Folder.LOG: settings.log_dir.absolute(),
        Folder.CONF: settings.conf_dir.absolute(),
        Folder.SPOOL: home / "asterisk" / "spool" if private else Path("/var/spool/asterisk"),
        Folder.DB: home / "asterisk" / "db" if private else Path("/var/lib/asterisk"),
    }


def kind_of(path: Path, where: Mapping[Folder, Path]) -> FileKind | None:
    """Return what kind of file lies at `path`, or None when nothing names it. The innermost folder decides."""
    above = [(folder, root) for folder, root in where.items() if path.is_relative_to(root)]
    if not above:
        return None
    innermost = max(len(root.parts) for _, root in above)
    for folder, root in above:
        if len(root.parts) == innermost:
            name = path.relative_to(root).as_posix()
            found = next((kind for kind in FILE_KINDS if kind.folder is folder and any(fnmatchcase(name, pattern) for pattern in kind.patterns)), None)
            if found is not None:
                return found
    return None


def unmapped(paths: Iterable[Path], where: Mapping[Folder, Path]) -> Iterator[Path]:
    """Yield each of the files that no kind names."""
    return (path for path in paths if kind_of(path, where) is None)
