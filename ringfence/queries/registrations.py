"""From where phones registered last: written in batches by each node, read when somebody must be found, gone with the phone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from ringfence.batches import batched
from ringfence.models import Endpoint, Registration
from ringfence.models.base import DataClass
from ringfence.queries.barrier import readable

_KEYS = 500  # keys in one IN (...)


class Seen(msgspec.Struct, frozen=True):
    """A phone that registered."""

    endpoint: str
    address: str  # IP
    at: datetime
    expires_at: datetime | None


def note(session: Session, node: str, seen: Sequence[Seen]) -> int:
    """Write down from where phones registered; return how many. Phones that are gone meanwhile are left out, and so is what is older than what is held."""
    written = 0
    make = postgresql.insert(Registration) if session.get_bind().dialect.name == "postgresql" else sqlite.insert(Registration)
    newer = make.excluded.registered_at >= Registration.registered_at
    values = {name: make.excluded[name] for name in ("account_id", "address", "registered_at", "expires_at")}
    upsert = make.on_conflict_do_update(index_elements=["endpoint", "node"], set_=values, where=newer)
    for batch in batched(sorted(seen, key=lambda one: one.endpoint), _KEYS):
        names = [one.endpoint for one in batch]
        owners = {row[0]: row[1] for row in session.execute(select(Endpoint.name, Endpoint.account_id).where(Endpoint.name.in_(names)))}
        rows = [
            {"endpoint": one.endpoint, "node": node, "account_id": owners[one.endpoint], "address": one.address, "registered_at": one.at}
            | {"expires_at": one.expires_at}
            for one in batch
            if one.endpoint in owners
        ]
        if rows:
            session.execute(upsert, rows)
        written += len(rows)
    return written


def known(session: Session, node: str) -> list[Seen]:
    """Return what is held of a node's phones."""
    columns = (Registration.endpoint, Registration.address, Registration.registered_at, Registration.expires_at)
    return [Seen(*row) for row in session.execute(select(*columns).where(Registration.node == node))]


def last_of(session: Session, endpoints: Sequence[str]) -> list[Registration]:
    """Return the last registrations of phones at each node, of those that may still be read; the newest first."""
    mine = select(Registration).join(Endpoint, Endpoint.name == Registration.endpoint).where(Registration.endpoint.in_(endpoints))
    mine = mine.where(Registration.account_id == Endpoint.account_id)
    mine = mine.where(*readable(session, DataClass.REGISTRATION, Registration.registered_at, Registration.account_id))
    return list(session.scalars(mine.order_by(Registration.registered_at.desc(), Registration.node)))


def forget(session: Session, endpoint: str) -> None:
    """Delete what is held of a phone that goes."""
    session.execute(delete(Registration).where(Registration.endpoint == endpoint))
