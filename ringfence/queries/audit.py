"""The audit log in the store: its head, which one transaction at a time may move, its entries and its checkpoints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from ringfence.audit.merkle import Frontier
from ringfence.audit.notes import Checkpoint
from ringfence.clock import Clock
from ringfence.errors import NotFound
from ringfence.models import AuditCheckpoint, AuditEntry, AuditHead
from ringfence.queries.rows import insert_rows

_BATCH = 5_000  # rows fetched at once


def lock_head(session: Session) -> Frontier:
    """Return the log's head; no other transaction gets it before this one ends. Writing the row as it is locks it on both engines."""
    session.flush()
    lock = update(AuditHead).where(AuditHead.id == 1).values(size=AuditHead.size).returning(AuditHead.size, AuditHead.frontier)
    lock = lock.execution_options(synchronize_session=False)
    row = session.execute(lock).one_or_none()
    if row is None:
        make = postgresql.insert(AuditHead) if session.get_bind().dialect.name == "postgresql" else sqlite.insert(AuditHead)
        session.execute(make.values(id=1, size=0, frontier=b"").on_conflict_do_nothing())
        row = session.execute(lock).one()
    return Frontier.decode(row[0], row[1])


def read_head(session: Session) -> Frontier:
    """Return the log's head as it is now, without locking it.

    Raises:
        ValueError: its subtree hashes do not fit its size.
    """
    row = session.execute(select(AuditHead.size, AuditHead.frontier).where(AuditHead.id == 1)).one_or_none()
    return Frontier() if row is None else Frontier.decode(row[0], row[1])


def write_entries(session: Session, rows: Iterable[Mapping[str, Any]], head: Frontier) -> None:
    """Write entries and the head they lead to."""
    insert_rows(session, AuditEntry, rows)
    move = update(AuditHead).where(AuditHead.id == 1).values(size=head.size, frontier=head.encode())
    session.execute(move.execution_options(synchronize_session=False))


def stream_entries(session: Session, first: int = 0, end: int | None = None, *, kind: str | None = None) -> Iterator[AuditEntry]:
    """Yield entries `first` to before `end` in order, in constant memory."""
    wanted = select(AuditEntry).where(AuditEntry.seq >= first).order_by(AuditEntry.seq)
    if end is not None:
        wanted = wanted.where(AuditEntry.seq < end)
    if kind is not None:
        wanted = wanted.where(AuditEntry.kind == kind)
    yield from session.scalars(wanted.execution_options(yield_per=_BATCH, populate_existing=True))


def newest_entries(session: Session, limit: int, *, kind: str | None = None) -> list[AuditEntry]:
    """Return the last entries, newest first."""
    wanted = select(AuditEntry).order_by(AuditEntry.seq.desc()).limit(limit)
    return list(session.scalars(wanted if kind is None else wanted.where(AuditEntry.kind == kind)))


def get_entry(session: Session, seq: int) -> AuditEntry:
    """Return one entry.

    Raises:
        NotFound: the log is not that long.
    """
    entry = session.get(AuditEntry, seq)
    if entry is None:
        raise NotFound(f"there is no entry {seq}", hint="'ringfence audit show' lists the last ones; they count from 0")
    return entry


def leaf_hashes(session: Session, size: int) -> list[bytes]:
    """Return the leaf hashes of the first `size` entries, 32 bytes each, as they are stored."""
    wanted = select(AuditEntry.leaf_hash).where(AuditEntry.seq < size).order_by(AuditEntry.seq)
    return list(session.scalars(wanted.execution_options(yield_per=_BATCH)))


def find_checkpoint(session: Session, *, until: datetime | None = None) -> AuditCheckpoint | None:
    """Return the newest checkpoint, or the newest made until a moment, or None."""
    wanted = select(AuditCheckpoint).order_by(AuditCheckpoint.size.desc()).limit(1)
    return session.scalar(wanted if until is None else wanted.where(AuditCheckpoint.at <= until))


def list_checkpoints(session: Session, first: int = 0) -> list[AuditCheckpoint]:
    """Return the checkpoints of at least `first` entries, by size."""
    return list(session.scalars(select(AuditCheckpoint).where(AuditCheckpoint.size >= first).order_by(AuditCheckpoint.size)))


def count_entries(session: Session) -> int:
    """Return how many entries there are, counted."""
    return session.scalar(select(func.count()).select_from(AuditEntry)) or 0


def write_checkpoint(session: Session, clock: Clock, made: Checkpoint, verifier_key: str) -> None:
    """Write a checkpoint down."""
    session.add(AuditCheckpoint(size=made.size, at=clock.now(), verifier_key=verifier_key, note=made.note))
    session.flush()
