"""The newest forwarded calls, against the legs that answered them."""

from __future__ import annotations

from datetime import datetime

import msgspec
from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from ringfence.models import Call, Leg
from ringfence.values import Direction, Disposition, ForwardingStatus, TargetKind


class Sample(msgspec.Struct, frozen=True):
    """What was looked at."""

    calls: int
    by_phone: int  # that a registered phone answered
    wrong: int  # without an answered leg to the target that they name
    newest: datetime | None


def newest(session: Session, since: datetime, limit: int, *, prefix: str = "") -> Sample:
    """Return what the newest forwarded calls say; with `prefix` only those to numbers that begin so."""
    wanted = select(Call.call_id, Call.started_at, Call.forwarded_to).where(
        Call.started_at >= since, Call.direction != Direction.OUTBOUND, Call.forwarding_status == ForwardingStatus.FORWARDED
    )
    if prefix:
        wanted = wanted.where(Call.did >= prefix, Call.did < prefix[:-1] + chr(ord(prefix[-1]) + 1))
    some = wanted.order_by(Call.started_at.desc()).limit(limit).subquery()
    same = and_(Leg.call_id == some.c.call_id, Leg.started_at == some.c.started_at, Leg.disposition == Disposition.ANSWERED)
    answered = same & (Leg.address == some.c.forwarded_to)
    rows = select(func.count(), func.count(Leg.address), func.count().filter(Leg.kind == TargetKind.ENDPOINT), func.max(some.c.started_at))
    calls, right, by_phone, last = session.execute(rows.select_from(some).outerjoin(Leg, answered)).one()
    return Sample(calls, by_phone, calls - right, last)
