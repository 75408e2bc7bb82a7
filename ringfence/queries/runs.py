"""The purge's own records: runs, their classes, receipts, and files that must go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from ringfence.models import Base, FileTombstone, PurgeReceipt, PurgeReceiptDay, PurgeRun, PurgeRunClass

_RECEIPT = insert(Base.metadata.tables[PurgeReceipt.__tablename__]).returning(PurgeReceipt.id)
_DAYS = insert(Base.metadata.tables[PurgeReceiptDay.__tablename__])


def begin_run(session: Session, run: Mapping[str, Any], classes: Sequence[Mapping[str, Any]]) -> None:
    """Write a run and what it has to do."""
    session.execute(insert(PurgeRun), [dict(run)])
    if classes:
        session.execute(insert(PurgeRunClass), [dict(row) for row in classes])


def update_class(session: Session, run_id: str, data_class: str, policy: str, **values: Any) -> None:
    """Set what is known of a class of a run."""
    where = (PurgeRunClass.run_id == run_id, PurgeRunClass.data_class == data_class, PurgeRunClass.policy == policy)
    session.execute(update(PurgeRunClass).where(*where).values(**values).execution_options(synchronize_session=False))


def update_run(session: Session, run_id: str, **values: Any) -> None:
    """Set what is known of a run."""
    session.execute(update(PurgeRun).where(PurgeRun.id == run_id).values(**values).execution_options(synchronize_session=False))


def add_receipts(session: Session, receipts: Sequence[tuple[Mapping[str, Any], Iterable[tuple[date, int]]]]) -> None:
    """Write receipts with the days of their rows.

    Raises:
        sqlalchemy.exc.IntegrityError: the run has a receipt of that window already.
    """
    connection, days = session.connection(), []
    for values, counts in receipts:
        receipt_id = connection.execute(_RECEIPT, dict(values)).scalar_one()
        days += [{"receipt_id": receipt_id, "day": day, "rows": count, "at": values["at"]} for day, count in counts]
    if days:
        connection.execute(_DAYS, days)


def last_runs(session: Session, limit: int) -> list[PurgeRun]:
    """Return the last runs, newest first."""
    return list(session.scalars(select(PurgeRun).order_by(PurgeRun.started_at.desc(), PurgeRun.token.desc()).limit(limit)))


def get_run(session: Session, run_id: str) -> tuple[PurgeRun | None, list[PurgeRunClass]]:
    """Return a run and its classes."""
    classes = session.scalars(select(PurgeRunClass).where(PurgeRunClass.run_id == run_id).order_by(PurgeRunClass.data_class, PurgeRunClass.policy))
    return session.get(PurgeRun, run_id, populate_existing=True), list(classes)


def class_history(session: Session, data_class: str, policy: str, limit: int) -> list[PurgeRunClass]:
    """Return what the last runs that came to an end did for a class, newest first."""
    ended = (PurgeRunClass.data_class == data_class, PurgeRunClass.policy == policy, PurgeRunClass.outcome.in_(("done", "held", "nothing_due")))
    return list(session.scalars(select(PurgeRunClass).where(*ended).order_by(PurgeRunClass.started_at.desc()).limit(limit)))


def list_receipts(session: Session, *, run_id: str | None = None, data_class: str | None = None, limit: int | None = None) -> list[PurgeReceipt]:
    """Return receipts, newest first."""
    query = select(PurgeReceipt).order_by(PurgeReceipt.id.desc()).limit(limit)
    if run_id is not None:
        query = query.where(PurgeReceipt.run_id == run_id)
    if data_class is not None:
        query = query.where(PurgeReceipt.data_class == data_class)
    return list(session.scalars(query))


def newest_receipt_at(session: Session) -> datetime | None:
    """Return when the last receipt was written."""
    return session.scalar(select(func.max(PurgeReceipt.at)))


def receipted_by_day(session: Session, data_class: str) -> dict[date, dict[str, int]]:
    """Return for each day how many rows of a class went, by reason."""
    query = (
        select(PurgeReceiptDay.day, PurgeReceipt.reason, func.sum(PurgeReceiptDay.rows))
        .join(PurgeReceipt, PurgeReceipt.id == PurgeReceiptDay.receipt_id)
        .where(PurgeReceipt.data_class == data_class)
        .group_by(PurgeReceiptDay.day, PurgeReceipt.reason)
    )
    found: dict[date, dict[str, int]] = {}
    for day, reason, rows in session.execute(query):
        found.setdefault(day, {})[reason] = int(rows)
    return found


def add_tombstones(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write down files that must go."""
    if rows:
        session.execute(insert(FileTombstone), [dict(row) for row in rows])


def open_tombstones(session: Session, node: str) -> list[FileTombstone]:
    """Return the files of a node that must go and are not known to be gone."""
    return list(session.scalars(select(FileTombstone).where(FileTombstone.node == node, FileTombstone.removed_at.is_(None)).order_by(FileTombstone.id)))


def mark_removed(session: Session, ids: Sequence[int], at: datetime) -> None:
    """Note that files are gone."""
    session.execute(update(FileTombstone).where(FileTombstone.id.in_(ids)).values(removed_at=at).execution_options(synchronize_session=False))
