"""What nodes found when they compared decided, ledger and store: one row for each node, UTC day and way of calls."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime

import msgspec
from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from ringfence.models import Base, Call, Node, ReconciledDay

_KEY = ("node", "day", "outbound")


class Compared(msgspec.Struct, frozen=True):
    """One node's comparison of one UTC day, for calls of customers' phones or for the others. Numbers of calls, and seconds."""

    node: str
    day: date
    outbound: bool
    compared_at: datetime
    decided: int = 0
    ledger: int = 0
    store: int = 0
    lost: int = 0
    unfinished: int = 0
    differences: int = 0
    ledger_seconds: int = 0
    store_seconds: int = 0
    seconds_differ: int = 0


def note_days(session: Session, days: Iterable[Compared]) -> int:
    """Write down comparisons, over earlier ones of the same days; return how many."""
    rows = [msgspec.structs.asdict(day) for day in days]
    if not rows:
        return 0
    table = Base.metadata.tables[ReconciledDay.__tablename__]
    make = postgresql.insert(table) if session.get_bind().dialect.name == "postgresql" else sqlite.insert(table)
    values = {name: make.excluded[name] for name in rows[0] if name not in _KEY}
    session.execute(make.on_conflict_do_update(index_elements=list(_KEY), set_=values), rows)
    return len(rows)


def list_days(session: Session, first: date, last: date, *, outbound: bool) -> list[Compared]:
    """Return the comparisons of days, first and last included, by node and day."""
    wanted = select(ReconciledDay).where(ReconciledDay.day >= first, ReconciledDay.day <= last, ReconciledDay.outbound.is_(outbound))
    found = session.scalars(wanted.order_by(ReconciledDay.node, ReconciledDay.day).execution_options(populate_existing=True))
    return [Compared(**{name: getattr(row, name) for name in Compared.__struct_fields__}) for row in found]


def booking_nodes(session: Session, since: datetime) -> list[str]:
    """Return the nodes whose booker was alive at a moment or later."""
    return list(session.scalars(select(Node.name).where(Node.booker_seen_at >= since).order_by(Node.name)))


def ids_of(session: Session, node: str, since: datetime, until: datetime) -> list[str]:
    """Return the ids of a node's calls that began in a period."""
    return list(session.scalars(select(Call.call_id).where(Call.node == node, Call.started_at >= since, Call.started_at < until)))
