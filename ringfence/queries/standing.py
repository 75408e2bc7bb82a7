"""Where the purge stands: the newest run, what each class last came to, how far a run is, and when a policy came to an account first."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ringfence.models import AccountPolicy, Leg, PurgeReceipt, PurgeRun, PurgeRunClass

ENDED = ("done", "held", "nothing_due")  # outcomes of a class that was brought to its cutoff


def newest_run(session: Session, *, ended: bool = False) -> PurgeRun | None:
    """Return the run that began last; with `ended` the last that came to its end and no brake stopped."""
    query = select(PurgeRun).order_by(PurgeRun.started_at.desc(), PurgeRun.token.desc()).limit(1)
    if ended:
        query = query.where(PurgeRun.finished_at.is_not(None), PurgeRun.stopped.is_(None))
    return session.scalar(query)


def last_of_each(session: Session, *, ended: bool = False) -> dict[tuple[str, str], PurgeRunClass]:
    """Return what the last run did for each class and policy; with `ended` the last that brought it to its cutoff."""
    wanted: Sequence[object] = [PurgeRunClass.outcome.in_(ENDED)] if ended else []
    key = (PurgeRunClass.data_class, PurgeRunClass.policy)
    newest = select(*key, func.max(PurgeRunClass.started_at).label("at")).where(*wanted).group_by(*key).subquery()  # type: ignore[arg-type]
    same = (newest.c.data_class == PurgeRunClass.data_class, newest.c.policy == PurgeRunClass.policy, newest.c.at == PurgeRunClass.started_at)
    rows = select(PurgeRunClass).join(newest, same[0] & same[1] & same[2]).join(PurgeRun, PurgeRun.id == PurgeRunClass.run_id)
    found = session.scalars(rows.where(*wanted).order_by(PurgeRun.token))  # type: ignore[arg-type]
    return {(row.data_class, row.policy): row for row in found}


def classes_of(session: Session, run_id: str) -> list[PurgeRunClass]:
    """Return what a run has to do and has done, by class."""
    query = select(PurgeRunClass).where(PurgeRunClass.run_id == run_id)
    return list(session.scalars(query.order_by(PurgeRunClass.data_class, PurgeRunClass.policy).execution_options(populate_existing=True)))


def rows_gone(session: Session, run_id: str) -> int:
    """Return how many rows a run has deleted so far; legs are not counted, as they are not in what was due."""
    gone = (PurgeReceipt.run_id == run_id, PurgeReceipt.reason == "window", PurgeReceipt.table_name != Leg.__tablename__)
    return int(session.scalar(select(func.sum(PurgeReceipt.rows)).where(*gone)) or 0)


def policies_since(session: Session) -> dict[str, datetime]:
    """Return for each policy that an account has for its own since when the first has it."""
    return {row[0]: row[1] for row in session.execute(select(AccountPolicy.policy, func.min(AccountPolicy.since)).group_by(AccountPolicy.policy))}
