"""Has the number that each phone shows 999 an address there? The store is asked: 999 is never refused for want of one, so nothing else would tell."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from dialplan.emergency.matrix import judge
from dialplan.node_conf import PhoneConf
from ringfence.models import Endpoint
from ringfence.queries import accounts, emergency

GRACE = timedelta(hours=24)  # as the first alarm of 'emergency coverage': a carrier has had its time
_SHOWN = 10


def verify_addresses(session: Session, phones: Sequence[PhoneConf], now: datetime) -> str:
    """Return which phones have shown 999 a number without an accepted address for a day or longer; empty = none.

    Args:
        session: an open transaction.
        phones: those of this node's configuration; the ones that only take calls are passed over.
        now: the present moment.
    """
    callers = {phone.name: phone.site for phone in phones if phone.site and not phone.receive_only}
    records = emergency.currents(session, set(callers.values()))
    late = []
    for endpoint, _ in accounts.list_endpoints(session, open_only=True):
        site = callers.get(endpoint.name)
        if site is None:
            continue
        record = records.get(site)
        mine = record if record and record.account_id == endpoint.account_id else None
        if not judge(emergency.facts_of(mine)).covered and now - _since(endpoint, mine.uncovered_since if mine else None) >= GRACE:
            late.append(endpoint.name)
    if not late:
        return ""
    names = ", ".join(late[:_SHOWN]) + (f" and {len(late) - _SHOWN} more" if len(late) > _SHOWN else "")
    return f"for a day or longer 999 has had no accepted address of the number that it is shown by {names}: see 'ringfence emergency coverage'"


def _since(endpoint: Endpoint, uncovered_since: datetime | None) -> datetime:
    return max(uncovered_since, endpoint.created_at) if uncovered_since else endpoint.created_at
