"""What checks of promises ask of the store. First rows come from indexes, counts stop at a limit; no statement walks all calls."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

import msgspec
from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from ringfence.models import (
    Account,
    AuditEntry,
    Base,
    CallAggregate,
    FileTombstone,
    InvoiceLine,
    LegalHold,
    PolicyVersion,
    PurgeReceipt,
    PurgeReceiptDay,
    PurgeRunClass,
)
from ringfence.queries import holds
from ringfence.queries.due import Due, due_where, next_window

MOST = 1_000  # rows after which counting on shows nothing new
_STEP, _LARGEST_STEP = 2_000, 100_000  # rows of a window
_OLDEST_LEGS = 20_000


class Late(msgspec.Struct, frozen=True):
    """Rows that no hold and no minimum keeps and that are still there."""

    rows: int  # at most MOST
    oldest: datetime | None


class WentEarly(msgspec.Struct, frozen=True):
    """A receipt of rows that were not due by its own words."""

    receipt: int
    run: str
    table: str
    newest: datetime | None
    cutoff: datetime | None


class Youngest(msgspec.Struct, frozen=True):
    """The youngest row that one run, or request, deleted from a table under a policy."""

    table: str
    run: str
    reason: str
    policy: str | None
    policy_version: int | None
    at: datetime  # when the first of them went
    newest: datetime
    rows: int


class Used(msgspec.Struct, frozen=True):
    """The window that a run worked with."""

    run: str
    policy: str
    policy_version: int
    period: str
    year_end: str | None
    cutoff: datetime
    as_of: datetime


def late_rows(session: Session, due: Due) -> Late:
    """Return what is due and no open hold keeps, up to MOST rows, oldest first.

    Windows are small as long as they hold something, so that a purge that is far behind is told of at once, and grow where everything is kept.
    """
    opened = holds.opened(session, due.data_class)
    own = due.source.moment(due.source.time)
    rows, oldest, lo, size = 0, None, None, _STEP
    while rows < MOST and (window := next_window(session, due, opened, lo, size)) is not None:
        conditions = due_where(due, window, sqlite=session.connection().dialect.name == "sqlite")
        if opened.shape:
            conditions.append(~holds.held(due.source.columns, due.data_class, opened.shape, window))
        found = list(session.scalars(select(own).select_from(due.source.of).where(*conditions).order_by(own).limit(MOST - rows)))
        rows, oldest, lo = rows + len(found), oldest or (found[0] if found else None), window.hi
        size = size if found else min(2 * size, _LARGEST_STEP)
        if window.hi >= due.cutoff:
            break
    return Late(rows, oldest)


def orphaned_legs(session: Session, before: datetime) -> int:
    """Return how many of the oldest legs of before a moment have lost their call. A purge that keeps up leaves there only what holds keep."""
    leg, call = Base.metadata.tables["leg"].c, Base.metadata.tables["call"].c
    old = select(leg.started_at, leg.call_id).where(leg.started_at < before).order_by(leg.started_at).limit(_OLDEST_LEGS).subquery()
    theirs = select(call.call_id).where(call.started_at == old.c.started_at, call.call_id == old.c.call_id).exists()
    return session.scalar(select(func.count()).select_from(old).where(~theirs)) or 0


def went_early(session: Session, data_class: str, limit: int) -> list[WentEarly]:
    """Return receipts by age whose rows were not before their own cutoff, or whose cutoff is not that of their run."""
    receipt, of_run = PurgeReceipt, PurgeRunClass
    same = (of_run.run_id == receipt.run_id) & (of_run.data_class == receipt.data_class) & (of_run.policy == receipt.policy)
    wanted = (
        select(receipt.id, receipt.run_id, receipt.table_name, receipt.newest_at, receipt.cutoff_at)
        .outerjoin(of_run, same)
        .where(receipt.data_class == data_class, receipt.reason == "window")
        .where(or_(receipt.newest_at >= receipt.cutoff_at, receipt.cutoff_at.is_(None), receipt.cutoff_at > of_run.cutoff_at))
        .order_by(receipt.id)
        .limit(limit)
    )
    return [WentEarly(*row) for row in session.execute(wanted)]


def windows_used(session: Session, data_class: str) -> list[Used]:
    """Return the windows that runs worked with for a class."""
    wanted = select(
        PurgeRunClass.run_id,
        PurgeRunClass.policy,
        PurgeRunClass.policy_version,
        PurgeRunClass.period,
        PurgeRunClass.year_end,
        PurgeRunClass.cutoff_at,
        PurgeRunClass.started_at,
    )
    return [Used(*row) for row in session.execute(wanted.where(PurgeRunClass.data_class == data_class))]


def youngest_gone(session: Session, data_class: str) -> list[Youngest]:
    """Return by table, run and policy the youngest row of a class that went by age or by erasure."""
    receipt = PurgeReceipt
    by = (receipt.table_name, receipt.run_id, receipt.reason, receipt.policy, receipt.policy_version)
    wanted = select(*by, func.min(receipt.at), func.max(receipt.newest_at), func.sum(receipt.rows)).group_by(*by)
    found = session.execute(wanted.where(receipt.data_class == data_class, receipt.reason.in_(("window", "erasure")), receipt.newest_at.is_not(None)))
    return [Youngest(table, run, reason, policy, version, at, newest, int(rows)) for table, run, reason, policy, version, at, newest, rows in found if newest]


def undated_gone(session: Session, table: str) -> int:
    """Return how many rows of a table went although their time had not come: they had none."""
    wanted = select(func.sum(PurgeReceipt.rows)).where(PurgeReceipt.table_name == table, PurgeReceipt.rows > 0, PurgeReceipt.newest_at.is_(None))
    return int(session.scalar(wanted) or 0)


def vanished_accounts(session: Session, since: datetime) -> list[int]:
    """Return the accounts that have invoice lines of a moment or later and are not there. One probe of the index for each account."""
    line = InvoiceLine.account_id
    first = select(func.min(line).label("id")).cte("billed", recursive=True)
    following = select(func.min(line)).where(line > first.c.id).scalar_subquery()
    billed = first.union_all(select(following).where(first.c.id.is_not(None)))
    newest = select(func.max(InvoiceLine.started_at)).where(line == billed.c.id).scalar_subquery()
    gone = select(billed.c.id).outerjoin(Account, Account.id == billed.c.id).where(Account.id.is_(None), billed.c.id.is_not(None))
    return list(session.scalars(gone.where(newest >= since).order_by(billed.c.id)))


def oldest_closing(session: Session) -> datetime | None:
    """Return when the account was closed that was closed first of those that are there."""
    return session.scalar(select(func.min(Account.closed_at)))


def aggregated_calls(session: Session, since: date) -> dict[date, int]:
    """Return for each day from `since` how many purged calls its aggregates count."""
    wanted = select(CallAggregate.day, func.sum(CallAggregate.calls)).where(CallAggregate.day >= since).group_by(CallAggregate.day)
    return {day: int(calls) for day, calls in session.execute(wanted)}


def receipted_calls(session: Session, since: date) -> dict[date, int]:
    """Return for each day from `since` how many calls went by age, as receipts tell."""
    wanted = (
        select(PurgeReceiptDay.day, func.sum(PurgeReceiptDay.rows))
        .join(PurgeReceipt, PurgeReceipt.id == PurgeReceiptDay.receipt_id)
        .where(PurgeReceipt.table_name == "call", PurgeReceipt.reason == "window", PurgeReceiptDay.day >= since)
        .group_by(PurgeReceiptDay.day)
    )
    return {day: int(rows) for day, rows in session.execute(wanted)}


def leaking_holds(session: Session) -> int:
    """Return how many secret holds bear a version that others can see: it tells that there is one."""
    told = or_(LegalHold.placed_version.is_not(None), LegalHold.released_version.is_not(None))
    return session.scalar(select(func.count()).where(LegalHold.secret, told)) or 0


def told_of_secret_holds(session: Session) -> int:
    """Return how many entries of the audit log name a secret hold."""
    secret = list(session.scalars(select(LegalHold.id).where(LegalHold.secret)))
    bodies = session.scalars(select(AuditEntry.body).where(AuditEntry.kind.like("legal_hold.%")))
    return sum(any(hold in body for hold in secret) for body in bodies)


def shown_holds(session: Session, ids: Sequence[str]) -> int:
    """Return how many of these holds are secret."""
    return session.scalar(select(func.count()).where(LegalHold.secret, LegalHold.id.in_(ids))) or 0


def open_files(session: Session, given_up_before: datetime) -> list[tuple[str, str, int]]:
    """Return node, class and number of files that were given up before a moment and are not gone."""
    wanted = select(FileTombstone.node, FileTombstone.data_class, func.count()).where(
        FileTombstone.removed_at.is_(None), FileTombstone.made_at < given_up_before
    )
    return [(node, data_class, count) for node, data_class, count in session.execute(wanted.group_by(FileTombstone.node, FileTombstone.data_class))]


def adopted_versions(session: Session) -> list[PolicyVersion]:
    """Return the versions that somebody proposed and that took effect."""
    wanted = select(PolicyVersion).where(PolicyVersion.text != "", PolicyVersion.adopted_at.is_not(None)).order_by(PolicyVersion.policy, PolicyVersion.version)
    return list(session.scalars(wanted.execution_options(populate_existing=True)))
