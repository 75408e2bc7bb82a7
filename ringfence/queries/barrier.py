"""What is past its window is shown to nobody from that moment on, even while the purge has not reached it or a legal hold keeps it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, func, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from ringfence.models import AccountPolicy, ReadBarrier
from ringfence.models.base import DataClass
from ringfence.queries.moments import store_now


def readable(session: Session, data_class: DataClass, time: Any, account: Any) -> list[ColumnElement[bool]]:
    """Return the conditions that rows of a class may be shown now, by the store's own clock.

    Args:
        session: the session.
        data_class: the class.
        time: the column of the rows' own time.
        account: the column with their account.
    """
    valid = (ReadBarrier.data_class == data_class.value, ReadBarrier.valid_from <= store_now(session))
    found = session.execute(select(ReadBarrier.policy, func.max(ReadBarrier.cutoff_at)).where(*valid).group_by(ReadBarrier.policy))
    cutoffs: dict[str, datetime] = {row[0]: row[1] for row in found}
    default = cutoffs.pop("", None)
    if default is None:
        return []
    if not cutoffs:
        return [time >= default]
    of = {policy: select(AccountPolicy.account_id).where(AccountPolicy.policy == policy) for policy in cutoffs}
    own = select(AccountPolicy.account_id).where(AccountPolicy.policy.in_(list(cutoffs)))
    others = (and_(account.in_(of[policy]), time >= cutoff) for policy, cutoff in cutoffs.items())
    return [or_(and_(or_(account.is_(None), account.not_in(own)), time >= default), *others)]


def write(session: Session, rows: Sequence[dict[str, Any]], now: datetime) -> None:
    """Write barriers ahead, and forget those that later ones have replaced."""
    newest = select(func.max(ReadBarrier.valid_from)).where(ReadBarrier.valid_from <= now).scalar_subquery()
    session.execute(delete(ReadBarrier).where(ReadBarrier.valid_from < newest).execution_options(synchronize_session=False))
    if rows:
        make = postgresql.insert(ReadBarrier) if session.get_bind().dialect.name == "postgresql" else sqlite.insert(ReadBarrier)
        keys = ["data_class", "policy", "valid_from"]
        session.execute(make.on_conflict_do_update(index_elements=keys, set_={"cutoff_at": make.excluded.cutoff_at}), list(rows))
