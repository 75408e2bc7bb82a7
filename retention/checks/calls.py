"""Checks on calls: what nodes found when they compared decided, ledger and store, and what the CDRs themselves say of forwarding.

Ledgers and journals lie on the nodes; each booker compares them with the store every hour and writes the counts down. A day is judged when it is over.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from types import MappingProxyType
from typing import Any

from retention.claims.model import Check, Context, Finding, Status, verdict
from ringfence.queries import forwarded, reconciled
from ringfence.queries.forwarded import Sample
from ringfence.queries.reconciled import Compared

_DAY = timedelta(days=1)
_PERIOD = 31  # days that are judged
_NEWEST = 500  # calls that are looked at
_MOST = 20  # findings that are shown
_VOIP = "+4456"  # 056, Ofcom's range for location-independent services


def cdr_complete(context: Context) -> Finding:
    """Judge the comparisons of inbound calls."""
    return _complete(context, outbound=False)


def outbound_cdr_complete(context: Context) -> Finding:
    """Judge the comparisons of calls that customers' phones make."""
    return _complete(context, outbound=True)


def billable_seconds(context: Context) -> Finding:
    """Compare the seconds that nodes worked out from their ledgers with those in the store, call by call."""
    yesterday = _yesterday(context.now)
    days = [day for outbound in (False, True) for day in _judged(context, yesterday, outbound=outbound)]
    differ = [day for day in days if day.seconds_differ or day.ledger_seconds != day.store_seconds]
    result = {
        "days": len({day.day for day in days}),
        "ledger_seconds": sum(day.ledger_seconds for day in days),
        "store_seconds": sum(day.store_seconds for day in days),
        "calls_that_differ": sum(day.seconds_differ for day in days),
        "days_that_differ": differ[:_MOST],
    }
    if differ:
        return Finding(Status.FAIL, result, f"billable seconds differ on {len(differ)} day(s)")
    return _silent(context, days, yesterday) or Finding(Status.PASS, result)


def calls_forwarded(context: Context) -> Finding:
    """Look at the newest forwarded calls: each names the target that answered it."""
    found = forwarded.newest(context.session, context.now - _PERIOD * _DAY, _NEWEST)
    return _sampled(found, found.calls, "no call was forwarded in the last 31 days")


def voip_number_rings_phone(context: Context) -> Finding:
    """Look at the newest calls to 056 numbers that were answered: each names the leg that answered it, and some were answered by a phone."""
    found = forwarded.newest(context.session, context.now - _PERIOD * _DAY, _NEWEST, prefix=_VOIP)
    return _sampled(found, found.by_phone, "no call to an 056 number was answered by a registered phone in the last 31 days")


def _complete(context: Context, *, outbound: bool) -> Finding:
    yesterday = _yesterday(context.now)
    days = _judged(context, yesterday, outbound=outbound)
    differ = [day for day in days if day.differences]
    gone = [] if outbound else _gone_since(context, days, yesterday)
    result: dict[str, Any] = {
        "days": len({day.day for day in days}),
        "nodes": sorted({day.node for day in days}),
        "decided": sum(day.decided for day in days),
        "in_the_ledger": sum(day.ledger for day in days),
        "in_the_store": sum(day.store for day in days),
        "lost_with_their_asterisk": sum(day.lost for day in days),
        "days_with_differences": differ[:_MOST],
        "gone_since_they_were_compared": gone,
    }
    if differ or gone:
        return Finding(Status.FAIL, result, f"{sum(day.differences for day in differ)} call(s) differ, {len(gone)} node(s) have fewer calls than were booked")
    return _silent(context, days, yesterday) or Finding(Status.PASS, result)


def _judged(context: Context, yesterday: date, *, outbound: bool) -> list[Compared]:
    """Return the comparisons of the period that were made after their day."""
    days = reconciled.list_days(context.session, yesterday - (_PERIOD - 1) * _DAY, yesterday, outbound=outbound)
    return [day for day in days if day.compared_at >= _begins(day.day + _DAY)]


def _silent(context: Context, days: list[Compared], yesterday: date) -> Finding | None:
    """Return that nothing can be said when a node has not compared the day before; None when each has."""
    nodes = reconciled.booking_nodes(context.session, _begins(yesterday))
    told = {day.node for day in days if day.day == yesterday}
    silent = [node for node in nodes if node not in told]
    if silent:
        return Finding(Status.NOT_CHECKABLE, {"silent_nodes": silent}, f"not compared for {yesterday.isoformat()} yet: {', '.join(silent)}")
    return None if told else Finding(Status.NOT_CHECKABLE, None, f"no node has compared {yesterday.isoformat()}")


def _gone_since(context: Context, days: list[Compared], yesterday: date) -> list[dict[str, Any]]:
    """Return the nodes of whose calls of the day before fewer are in the store than when they were compared."""
    begins, found = _begins(yesterday), []
    outbound = {day.node: day.store for day in _judged(context, yesterday, outbound=True) if day.day == yesterday}
    for day in (each for each in days if each.day == yesterday):
        noted = day.store + outbound.get(day.node, 0)
        ids = reconciled.ids_of(context.session, day.node, begins - _DAY / 24, begins + _DAY + _DAY / 24)
        there = sum(1 for call_id in ids if begins.timestamp() <= _epoch(call_id) < (begins + _DAY).timestamp())
        if there < noted:
            found.append({"node": day.node, "day": yesterday, "noted": noted, "there": there})
    return found


def _sampled(found: Sample, telling: int, nothing: str) -> Finding:
    result = {"calls": found.calls, "answered_by_a_phone": found.by_phone, "without_the_leg_that_answered": found.wrong, "newest": found.newest}
    if not telling and not found.wrong:
        return Finding(Status.NOT_CHECKABLE, result, nothing)
    return verdict(found.wrong, result, f"{found.wrong} call(s) were answered by another target than their CDR says")


def _yesterday(now: datetime) -> date:
    return now.astimezone(UTC).date() - _DAY


def _begins(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _epoch(call_id: str) -> int:
    """Return the second in which a call's channel was made, from its id '<node>-<epoch>.<sequence>'."""
    return int(call_id.rpartition("-")[2].partition(".")[0])


CHECKS: Mapping[str, Check] = MappingProxyType(
    {
        "cdr_complete": cdr_complete,
        "outbound_cdr_complete": outbound_cdr_complete,
        "billable_seconds": billable_seconds,
        "calls_forwarded": calls_forwarded,
        "voip_number_rings_phone": voip_number_rings_phone,
    }
)
