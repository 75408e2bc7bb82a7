"""Tests of calls to 999: those that were held, and what is due.

What is due follows from comparing what a node has in place with what it passed last. Nothing is remembered that a process could forget: a change
that is undone is due no more, one that nobody noticed is due all the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import msgspec
from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session, aliased

from ringfence.audit import log
from ringfence.clock import Clock
from ringfence.emergency import DueCause, HowTested
from ringfence.errors import Refused
from ringfence.models import EmergencyRecord, EmergencyTest, EmergencyWay, Node

GONE = timedelta(days=30)  # a node whose processes were silent for so long needs no test


class DueTest(msgspec.Struct, frozen=True):
    """Why a node must be tested."""

    node: str
    cause: DueCause
    since: datetime
    count: int = 1  # numbers, when they are the cause

    @property
    def reason(self) -> str:
        """The cause in words."""
        return {
            DueCause.NEVER: "no test was ever passed",
            DueCause.TRUNKS: "the emergency trunks changed, or how they are tried",
            DueCause.DIALPLAN: "the dialplan that 999 goes through changed",
            DueCause.NUMBERS: f"{self.count} number(s) changed their class of use",
        }[self.cause]


def put_way(session: Session, clock: Clock, node: str, way: tuple[str, str] | None) -> None:
    """Write down what a call to 999 goes through on a node.

    Args:
        session: whose transaction it becomes part of.
        clock: tells since when.
        node: the node.
        way: digests of the emergency trunks and of the rest, as they are about to be put in place or are there; None = no phone of it calls.
    """
    found = session.get(EmergencyWay, node, with_for_update=True)
    if way is None:
        if found is not None:
            session.delete(found)
        return
    now, passed = clock.now(), last_passed(session, node)
    trunks, dialplan = way
    if found is None:
        session.add(EmergencyWay(node=node, trunks=trunks, trunks_since=now, dialplan=dialplan, dialplan_since=now))
    else:  # since the first change after the last test, whatever came later
        if found.trunks != trunks:
            found.trunks_since = now if passed is not None and passed.trunks == found.trunks else found.trunks_since
            found.trunks = trunks
        if found.dialplan != dialplan:
            found.dialplan_since = now if passed is not None and passed.dialplan == found.dialplan else found.dialplan_since
            found.dialplan = dialplan
    session.flush()


def way_of(session: Session, node: str) -> EmergencyWay | None:
    """Return what is written down of a node; None = no phone of it calls, or nothing was applied yet."""
    return session.get(EmergencyWay, node)


def due(session: Session, now: datetime, *, node: str | None = None) -> list[DueTest]:
    """Return what must be tested, by node, the oldest first.

    Args:
        session: reads only.
        now: decides which nodes are gone.
        node: this one only.
    """
    chosen = select(EmergencyWay) if node is None else select(EmergencyWay).where(EmergencyWay.node == node)
    ways = list(session.scalars(chosen))
    nodes = {each.name: each for each in session.scalars(select(Node).where(Node.name.in_([way.node for way in ways])))}
    found = [each for way in ways if not _is_gone(nodes.get(way.node), now) for each in _due(session, way)]
    return sorted(found, key=lambda each: (each.since, each.node, each.cause))


def overdue(found: Sequence[DueTest], now: datetime, days: int) -> list[DueTest]:
    """Return those that have been due for longer than so many days."""
    return [each for each in found if now - each.since > timedelta(days=days)]


def last_passed(session: Session, node: str) -> EmergencyTest | None:
    """Return the newest test that a node passed."""
    chosen = select(EmergencyTest).where(EmergencyTest.node == node, EmergencyTest.passed.is_(True))
    return session.scalar(chosen.order_by(EmergencyTest.at.desc(), EmergencyTest.id).limit(1))


def list_tests(
    session: Session, *, node: str | None = None, since: datetime | None = None, until: datetime | None = None, limit: int = 100
) -> list[EmergencyTest]:
    """Return the tests that were held, newest first."""
    chosen = select(EmergencyTest).order_by(EmergencyTest.at.desc(), EmergencyTest.id).limit(limit)
    for wanted in (
        None if node is None else EmergencyTest.node == node,
        None if since is None else EmergencyTest.at >= since,
        None if until is None else EmergencyTest.at < until,
    ):
        chosen = chosen if wanted is None else chosen.where(wanted)
    return list(session.scalars(chosen))


class Held(msgspec.Struct, frozen=True):
    """A test that was held."""

    node: str
    began_at: datetime
    how: HowTested
    passed: bool
    by: str
    note: str = ""
    checks: Sequence[Mapping[str, object]] = ()  # each with `check`, `ok` and `problem`
    way: tuple[str, str] | None = None  # the digests of what was tested; None = of what is in place


def add(session: Session, clock: Clock, held: Held) -> EmergencyTest:
    """Write down a test of what the node has in place, and what of it was due, with the entry in the audit log. Call it last in a transaction.

    Raises:
        Refused: nothing is in place from which a phone could call 999.
    """
    way = way_of(session, held.node)
    if way is None:
        raise Refused(f"no phone of {held.node} calls 999 by what is in place", hint="'ringfence config apply' puts phones and emergency trunks in place")
    test = EmergencyTest(
        id=log.new_id(),
        node=held.node,
        began_at=held.began_at,
        at=clock.now(),
        how=held.how,
        passed=held.passed,
        tested_by=held.by,
        note=held.note,
        trunks=held.way[0] if held.way else way.trunks,
        dialplan=held.way[1] if held.way else way.dialplan,
        due=as_json(due(session, clock.now(), node=held.node)),
        checks=list(held.checks),
    )
    session.add(test)
    session.flush()
    log.append(session, clock, "emergency.tested", actor="operator", test=test.id, how=held.how.value, outcome="passed" if held.passed else "failed")
    return test


def as_json(found: Sequence[DueTest]) -> list[Mapping[str, object]]:
    """Return what was due as a test keeps it."""
    return [{"cause": each.cause.value, "since": each.since.isoformat(), "count": each.count} for each in found]


def _due(session: Session, way: EmergencyWay) -> list[DueTest]:
    passed = last_passed(session, way.node)
    if passed is None:
        return [DueTest(way.node, DueCause.NEVER, min(way.trunks_since, way.dialplan_since))]
    found = []
    if way.trunks != passed.trunks:
        found.append(DueTest(way.node, DueCause.TRUNKS, way.trunks_since))
    if way.dialplan != passed.dialplan:
        found.append(DueTest(way.node, DueCause.DIALPLAN, way.dialplan_since))
    count, first = _changed_use(session, passed.began_at)
    if first is not None:
        found.append(DueTest(way.node, DueCause.NUMBERS, first, count))
    return found


def _changed_use(session: Session, since: datetime) -> tuple[int, datetime | None]:
    """Return how many numbers have another class of use than before, and when the first of them got it."""
    before = aliased(EmergencyRecord)
    same = and_(before.e164 == EmergencyRecord.e164, before.version == EmergencyRecord.version - 1)
    changed = (EmergencyRecord.made_at > since, before.location != EmergencyRecord.location)
    row = session.execute(select(func.count(EmergencyRecord.e164.distinct()), func.min(EmergencyRecord.made_at)).join(before, same).where(*changed)).one()
    return row[0], row[1]


def _is_gone(node: Node | None, now: datetime) -> bool:
    if node is None:
        return False
    seen = [moment for moment in (node.app_seen_at, node.booker_seen_at, node.worker_seen_at) if moment is not None]
    return bool(seen) and now - max(seen) > GONE
