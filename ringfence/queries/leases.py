"""The lease of what only one process may do. Time-outs decide who may try; the token decides who may write."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec
from sqlalchemy import select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from ringfence.errors import Conflict
from ringfence.models import Lease

PURGE = "purge"


class Held(msgspec.Struct, frozen=True):
    """A lease that was taken."""

    name: str
    holder: str
    token: int
    lasts: timedelta


def take(session: Session, name: str, holder: str, now: datetime, lasts: timedelta) -> Held | None:
    """Take a lease that nobody has, or whose time is over, or that this holder has; None when another has it."""
    make = postgresql.insert(Lease) if session.get_bind().dialect.name == "postgresql" else sqlite.insert(Lease)
    session.execute(make.values(name=name, holder="", token=0, until=now - lasts, seen_at=now).on_conflict_do_nothing())
    free = (Lease.name == name, (Lease.until <= now) | (Lease.holder == holder))
    taken = update(Lease).where(*free).values(holder=holder, token=Lease.token + 1, until=now + lasts, seen_at=now).returning(Lease.token)
    token = session.scalar(taken.execution_options(synchronize_session=False))
    return None if token is None else Held(name, holder, token, lasts)


def fence(session: Session, held: Held, now: datetime) -> None:
    """Renew the lease and keep it until the transaction ends: nobody can take it meanwhile.

    Raises:
        Conflict: another process has taken it.
    """
    mine = (Lease.name == held.name, Lease.token == held.token)
    kept = session.execute(update(Lease).where(*mine).values(until=now + held.lasts, seen_at=now).execution_options(synchronize_session=False))
    if not kept.rowcount:  # type: ignore[attr-defined]
        raise Conflict(f"another process has taken over: {held.name}", hint="nothing to do: it goes on from the last receipt")


def give_back(session: Session, held: Held, now: datetime) -> None:
    """End the lease; nothing happens when another process has it by now."""
    session.execute(update(Lease).where(Lease.name == held.name, Lease.token == held.token).values(until=now, seen_at=now))


def read(session: Session, name: str) -> Lease | None:
    """Return a lease as it stands: who has it, until when, and the last heartbeat."""
    return session.scalar(select(Lease).where(Lease.name == name))
