"""Where the purge stands: the newest run, what each class last came to, how far a run is, and when a policy came to an account first."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session, aliased

from ringfence.models import AccountPolicy, FileTombstone, Leg, PurgeReceipt, PurgeRun, PurgeRunClass

Key = tuple[str, str]  # data class, policy
_RECENT = 30  # runs
ENDED = ("done", "held", "nothing_due")  # outcomes of a class that was brought to its cutoff


def newest_run(session: Session, *, ended: bool = False) -> PurgeRun | None:
    """Return the run that began last; with `ended` the last that came to its end and no brake stopped."""
    query = select(PurgeRun).order_by(PurgeRun.started_at.desc(), PurgeRun.token.desc()).limit(1)
    if ended:
        query = query.where(PurgeRun.finished_at.is_not(None), PurgeRun.stopped.is_(None))
    return session.scalar(query)


def last_of_each(session: Session, wanted: Collection[Key] | None = None, *, ended: bool = False) -> dict[Key, PurgeRunClass]:
    """Return what the last run did for each class and policy; with `ended` the last that brought it to its cutoff.

    When it is known which are wanted the last runs are looked at first: after years that is a hundredth of them. All are, when one is not among those.
    """
    if wanted is not None:
        recent = session.scalars(select(PurgeRun.id).order_by(PurgeRun.started_at.desc()).limit(_RECENT)).all()
        found = _last_of_each(session, ended=ended, among=recent)
        if found.keys() >= set(wanted):
            return found
    return _last_of_each(session, ended=ended)


def _last_of_each(session: Session, *, ended: bool, among: Sequence[str] | None = None) -> dict[Key, PurgeRunClass]:
    wanted: list[ColumnElement[bool]] = [PurgeRunClass.outcome.in_(ENDED)] if ended else []
    if among is not None:
        wanted.append(PurgeRunClass.run_id.in_(among))
    place = func.row_number().over(
        partition_by=(PurgeRunClass.data_class, PurgeRunClass.policy), order_by=(PurgeRunClass.started_at.desc(), PurgeRun.token.desc())
    )
    ranked = select(PurgeRunClass, place.label("place")).join(PurgeRun, PurgeRun.id == PurgeRunClass.run_id).where(*wanted).subquery()
    newest = aliased(PurgeRunClass, ranked)
    return {(row.data_class, row.policy): row for row in session.scalars(select(newest).where(ranked.c.place == 1))}


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


def files_left(session: Session, before: datetime) -> int:
    """Return how many files were given up before a moment and are still not known to be gone, on any node."""
    left = (FileTombstone.removed_at.is_(None), FileTombstone.made_at < before)
    return session.scalar(select(func.count()).select_from(FileTombstone).where(*left)) or 0
