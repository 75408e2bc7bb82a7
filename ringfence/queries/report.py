"""What the retention report asks. Bounds and counts come from indexes; no statement walks all calls, and none sees a secret hold or what it keeps."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import msgspec
from sqlalchemy import Select, func, or_, select
from sqlalchemy.orm import Session

from ringfence.models import AccountPolicy, AuditEntry, Base, CallAggregate, FileTombstone, Incident, PurgeReceipt, PurgeReceiptDay, PurgeRun, PurgeRunClass
from ringfence.queries import due as rows
from ringfence.queries.due import CLOSED, Due


class Gone(msgspec.Struct, frozen=True):
    """Rows of one London day that one receipt tells of."""

    data_class: str
    policy: str
    run: str
    table: str
    day: date
    rows: int
    at: datetime


class Oldest(msgspec.Struct, frozen=True):
    """A receipt's newest row, which was the youngest when it went."""

    data_class: str
    policy: str
    table: str
    newest_at: datetime
    cutoff_at: datetime
    at: datetime


class Given(msgspec.Struct, frozen=True):
    """Files of one class on one node that were given up."""

    node: str
    data_class: str
    files: int
    bytes: int
    removed: int
    oldest_open: datetime | None  # when the first of those that are still there was given up
    newest: datetime | None  # newest datum in any of them


def oldest_row(session: Session, due: Due) -> datetime | None:
    """Return the time of the oldest row that a policy governs; secret holds are no rows."""
    source = due.source
    own = source.moment(source.time)
    wanted = select(own).where(own.is_not(None)).order_by(own).limit(1)
    if source.hidden is not None:
        wanted = wanted.where(source.of.c[source.hidden].is_(False))
    others = _others(due)
    if others is None:
        return session.scalar(wanted)
    if due.default and session.scalar(others.limit(1)) is None:
        return session.scalar(wanted)
    account = source.of.c[source.account or "id"]
    return session.scalar(wanted.where(or_(account.is_(None), account.not_in(others)) if due.default else account.in_(others)))


def count_over(session: Session, due: Due) -> int:
    """Return how many rows are past their window, held or not.

    When the window runs from the rows' own time that takes an index alone: all of them, less those of accounts under another policy.
    """
    source = due.source
    own_event = due.event == source.time and (due.minimum is None or due.minimum_event == source.time)
    if not own_event or source.time == CLOSED or source.hidden is not None or source.unless:
        return rows.count_past(session, due).rows
    until = due.cutoff if due.minimum is None else min(due.cutoff, due.minimum)
    counted = select(func.count()).select_from(source.of).where(source.moment(source.time) < until)
    others = _others(due)
    if others is None:
        return (session.scalar(counted) or 0) if due.default else 0
    theirs = counted.where(source.of.c[source.account or "id"].in_(others))
    if not due.default:
        return session.scalar(theirs) or 0
    whole = session.scalar(counted) or 0
    return whole - (session.scalar(theirs) or 0) if whole and session.scalar(others.limit(1)) is not None else whole


def gone_by_day(session: Session, since: datetime, until: datetime) -> list[Gone]:
    """Return what went by age in a period, by the London day of the rows."""
    day = Base.metadata.tables[PurgeReceiptDay.__tablename__].c
    receipt = Base.metadata.tables[PurgeReceipt.__tablename__].c
    wanted = (
        select(receipt.data_class, receipt.policy, receipt.run_id, receipt.table_name, day.day, day.rows, receipt.at)
        .join(PurgeReceipt, receipt.id == day.receipt_id)
        .where(receipt.at >= since, receipt.at < until, receipt.reason == "window")
    )
    return [Gone(*row) for row in session.execute(wanted)]


def youngest_gone(session: Session, since: datetime, until: datetime) -> list[Oldest]:
    """Return the newest row of each receipt by age in a period."""
    receipt = Base.metadata.tables[PurgeReceipt.__tablename__].c
    wanted = select(receipt.data_class, receipt.policy, receipt.table_name, receipt.newest_at, receipt.cutoff_at, receipt.at)
    found = wanted.where(receipt.at >= since, receipt.at < until, receipt.reason == "window", receipt.rows > 0)
    return [Oldest(*row) for row in session.execute(found)]


def other_reasons(session: Session, since: datetime, until: datetime) -> list[tuple[str, str, int]]:
    """Return what went in a period for another reason than age: class, reason, rows."""
    receipt = Base.metadata.tables[PurgeReceipt.__tablename__].c
    wanted = select(receipt.data_class, receipt.reason, func.sum(receipt.rows)).where(receipt.at >= since, receipt.at < until, receipt.reason != "window")
    found = session.execute(wanted.group_by(receipt.data_class, receipt.reason).order_by(receipt.data_class, receipt.reason))
    return [(data_class, reason, int(count)) for data_class, reason, count in found]


def runs_between(session: Session, since: datetime, until: datetime) -> list[PurgeRun]:
    """Return the runs that began in a period, newest first."""
    return list(session.scalars(select(PurgeRun).where(PurgeRun.started_at >= since, PurgeRun.started_at < until).order_by(PurgeRun.started_at.desc())))


def classes_between(session: Session, since: datetime, until: datetime) -> list[PurgeRunClass]:
    """Return what the classes of those runs came to."""
    wanted = select(PurgeRunClass).where(PurgeRunClass.started_at >= since, PurgeRunClass.started_at < until)
    return list(session.scalars(wanted.order_by(PurgeRunClass.run_id, PurgeRunClass.data_class, PurgeRunClass.policy)))


def audit_bounds(session: Session, before: datetime) -> tuple[datetime | None, int]:
    """Return when the audit log's oldest entry was written, and how many entries are of before a moment."""
    oldest: datetime | None = session.scalar(select(func.min(AuditEntry.at)))
    if oldest is None or oldest >= before:
        return oldest, 0
    return oldest, session.scalar(select(func.count()).select_from(AuditEntry).where(AuditEntry.at < before)) or 0


def files_given_up(session: Session, since: datetime, until: datetime) -> list[Given]:
    """Return the files given up in a period, and all that are not gone yet, by node and class. No name of a file."""
    open_ones = FileTombstone.removed_at.is_(None)
    wanted = (
        select(
            FileTombstone.node,
            FileTombstone.data_class,
            func.count(),
            func.sum(FileTombstone.bytes),
            func.count(FileTombstone.removed_at),
            func.min(FileTombstone.made_at).filter(open_ones),
            func.max(FileTombstone.newest_at),
        )
        .where(or_(open_ones, (FileTombstone.made_at >= since) & (FileTombstone.made_at < until)))
        .group_by(FileTombstone.node, FileTombstone.data_class)
        .order_by(FileTombstone.node, FileTombstone.data_class)
    )
    return [Given(row[0], row[1], row[2], int(row[3]), row[4], row[5], row[6]) for row in session.execute(wanted)]


def incidents_between(session: Session, since: datetime, until: datetime) -> list[Incident]:
    """Return the incidents that were opened in a period, and all that are open, newest first."""
    opened = (Incident.opened_at >= since) & (Incident.opened_at < until)
    return list(session.scalars(select(Incident).where(or_(opened, Incident.closed_at.is_(None))).order_by(Incident.opened_at.desc(), Incident.id)))


def cells_by_destination(session: Session, first: date, end: date, hidden: Sequence[date]) -> list[tuple[date, str, int, int | None, int | None]]:
    """Return the counts of calls that went, by day and destination: day, destination, calls, answered, seconds; `hidden` days are left out."""
    cell = Base.metadata.tables[CallAggregate.__tablename__].c
    sums = (func.sum(cell.calls), func.sum(cell.answered), func.sum(cell.billable_seconds))
    wanted = select(cell.day, cell.destination, *sums).where(cell.day >= first, cell.day < end).group_by(cell.day, cell.destination)
    unseen = set(hidden)
    return [(row[0], row[1], int(row[2]), _int(row[3]), _int(row[4])) for row in session.execute(wanted) if row[0] not in unseen]


def server_version(session: Session) -> str:
    """Return what the store's engine calls its version."""
    connection = session.connection()
    found = select(func.sqlite_version()) if connection.dialect.name == "sqlite" else select(func.current_setting("server_version"))
    return str(session.scalar(found))


def _others(due: Due) -> Select[Any] | None:
    """Return the accounts whose own policy matters to what is due: for the default those under another, else those under this one."""
    if due.source.account is None:
        return None
    theirs = AccountPolicy.policy != due.policy if due.default else AccountPolicy.policy == due.policy
    return select(AccountPolicy.account_id).where(theirs)


def _int(value: Any) -> int | None:
    return None if value is None else int(value)
