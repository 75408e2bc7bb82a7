"""Reading calls: filtered, streamed in constant memory, with withheld callers kept withheld, and without what is past its window, purged yet or not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from ringfence.errors import NotFound
from ringfence.models import Account, Call, Leg
from ringfence.models.base import DataClass
from ringfence.queries.barrier import readable
from ringfence.values import Direction, Disposition, RoutedBy

WITHHELD = "withheld"
_AT_ONCE = 1000  # rows fetched at a time
_FIELDS = tuple(column.name for column in Call.__table__.columns if column.name != "linkedid")
KEYS = (*_FIELDS, "account")


class CallFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which calls; what is None does not matter."""

    account_id: int | None = None
    did: str | None = None
    caller: str | None = None  # without `reveal`, calls of withheld callers never match
    since: datetime | None = None  # began at or after
    until: datetime | None = None  # began before
    disposition: Disposition | None = None
    direction: Direction | None = None
    node: str | None = None
    routed_by: RoutedBy | None = None


class StoredCall(msgspec.Struct, frozen=True, gc=False):
    """What the store has of a call, as far as the node's ledger has it too."""

    call_id: str
    disposition: Disposition
    direction: Direction
    billable_seconds: int


def stream_calls(
    session: Session, which: CallFilter, *, reveal: bool = False, newest_first: bool = False, limit: int | None = None
) -> Iterator[dict[str, Any]]:
    """Yield calls as mappings with `KEYS`, by the time they began.

    Args:
        session: the session; rows are fetched through a server-side cursor while it is read.
        which: the filter.
        reveal: show withheld callers, for the operator's tracing of malicious calls; never for a customer.
        newest_first: the other order.
        limit: at most so many.
    """
    order = (Call.started_at.desc(), Call.call_id.desc()) if newest_first else (Call.started_at, Call.call_id)
    columns = [Call.__table__.c[name] for name in _FIELDS]
    query = select(*columns, Account.ref.label("account")).outerjoin(Account, Account.id == Call.account_id)
    query = query.where(*_conditions(which, reveal=reveal), *readable(session, DataClass.CALL_LOG, Call.started_at, Call.account_id))
    query = query.order_by(*order).limit(limit)
    for row in session.execute(query, execution_options={"yield_per": _AT_ONCE}):
        yield _shown(dict(row._mapping), reveal=reveal)  # noqa: SLF001  SQLAlchemy's documented name


def get_call(session: Session, call_id: str, *, reveal: bool = False) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a call, as `stream_calls` yields it, and its legs in order.

    Raises:
        NotFound: the store has no such call.
    """
    query = select(Call, Account.ref).outerjoin(Account, Account.id == Call.account_id).where(Call.call_id == call_id)
    row = session.execute(query.where(*readable(session, DataClass.CALL_LOG, Call.started_at, Call.account_id))).first()
    if row is None:
        raise NotFound(f"there is no call {call_id}", hint="'ringfence cdr list' shows ids; a call is booked within a second of its end")
    call, ref = row
    legs = session.scalars(select(Leg).where(Leg.call_id == call_id, Leg.started_at == call.started_at).order_by(Leg.number))
    keys = [column.name for column in Leg.__table__.columns if column.name not in {"call_id", "started_at"}]
    found = {name: getattr(call, name) for name in _FIELDS} | {"account": ref}
    return _shown(found, reveal=reveal), [{key: getattr(leg, key) for key in keys} for leg in legs]


def last_made(session: Session, did: str, since: datetime) -> datetime | None:
    """Return when the last call went out with one of our numbers, at `since` or later, of those that may still be read; None without one."""
    own = (Call.did == did, Call.direction == Direction.OUTBOUND, Call.started_at >= since)
    query = select(Call.started_at).where(*own, *readable(session, DataClass.CALL_LOG, Call.started_at, Call.account_id))
    return session.scalar(query.order_by(Call.started_at.desc()).limit(1))


def count_by_day(session: Session, since: datetime, until: datetime) -> list[tuple[str, str, int]]:
    """Return node, UTC day (ISO) and count of calls that began in a period."""
    day = func.date(Call.started_at)
    query = select(Call.node, day, func.count()).where(Call.started_at >= since, Call.started_at < until).group_by(Call.node, day).order_by(day, Call.node)
    return [(node, str(when), count) for node, when, count in session.execute(query)]


def stream_ids(session: Session, node: str, since: datetime, until: datetime) -> Iterator[StoredCall]:
    """Yield a node's calls that began in a period, as the comparison with its ledger needs them."""
    columns = (Call.call_id, Call.disposition, Call.direction, Call.billable_seconds)
    query = select(*columns).where(Call.node == node, Call.started_at >= since, Call.started_at < until)
    for row in session.execute(query, execution_options={"yield_per": _AT_ONCE}):
        yield StoredCall(*row)


def _conditions(which: CallFilter, *, reveal: bool) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    for name in ("account_id", "did", "caller", "disposition", "direction", "node", "routed_by"):
        value = getattr(which, name)
        if value is not None:
            conditions.append(getattr(Call, name) == value)
    if which.caller is not None and not reveal:
        conditions.append(Call.caller_withheld.is_(False))  # else asking for a number would tell whether it was that one
    if which.since is not None:
        conditions.append(Call.started_at >= which.since)
    if which.until is not None:
        conditions.append(Call.started_at < which.until)
    return conditions


def _shown(row: dict[str, Any], *, reveal: bool) -> dict[str, Any]:
    if row["caller_withheld"] and not reveal:
        row["caller"] = WITHHELD
    return row
