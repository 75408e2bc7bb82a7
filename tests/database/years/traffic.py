"""Calls of a day: a handful, some at the moments where calendars go wrong, some that a node brings in days or a year later."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta

from ringfence.queries.ledger import Booking, LegRow, micros
from ringfence.values import Disposition, TargetKind
from tests.database.purging import booking
from tests.database.years.acts import CALLERS, MOBILES
from tests.database.years.london import DAY, begins, changes, day_of
from tests.database.years.reference import Reference, Row

_EDGES = (  # from the first moment of the London day
    timedelta(0),
    timedelta(microseconds=1),
    timedelta(minutes=30),
    timedelta(hours=1) - timedelta(microseconds=1),
    timedelta(hours=1),
    timedelta(hours=1, minutes=30),
    timedelta(hours=2),
    timedelta(hours=2, minutes=30),
)


class Traffic:
    """Makes calls, and keeps those that are not booked yet."""

    def __init__(self, chance: random.Random, per_day: float) -> None:
        self._chance, self._per_day = chance, per_day
        self._made = 0
        self._times: set[datetime] = set()
        self.waiting: list[tuple[datetime, Booking]] = []  # from when it can be booked

    def day(self, day: date, owners: Mapping[str, int | None]) -> None:
        """Make the calls of a day in London."""
        chance, length = self._chance, begins(day + DAY) - begins(day)
        times = [begins(day) + length * chance.random() for _ in range(int(self._per_day + chance.random()))]
        if is_edge(day):
            times += [begins(day) + offset for offset in (*_EDGES, length - timedelta(microseconds=1), length - timedelta(minutes=30)) if chance.random() < 0.6]
            times.append(datetime(day.year, day.month, day.day, 23, 30, tzinfo=begins(day).tzinfo) - DAY * (begins(day).hour == 23))
        for at in times:
            at = at.replace(microsecond=at.microsecond // 10 * 10 if at.microsecond != 999_999 else at.microsecond)  # noqa: PLW2901
            if at not in self._times and day_of(at) == day:
                self._times.add(at)
                late = chance.random()
                wait = timedelta(days=chance.randint(400, 500)) if late < 0.003 else timedelta(days=chance.randint(1, 60)) if late < 0.03 else timedelta(0)
                self.waiting.append((at + wait, self._call(at, owners)))

    def take(self, now: datetime) -> list[Booking]:
        """Return what can be booked at a moment, and forget it."""
        found = [each for at, each in self.waiting if at < now]
        self.waiting = [(at, each) for at, each in self.waiting if at >= now]
        return found

    def _call(self, at: datetime, owners: Mapping[str, int | None]) -> Booking:
        chance = self._chance
        self._made += 1
        did = chance.choice(sorted(owners)) if owners and chance.random() < 0.95 else "+442079460999"
        called = {"did": did, "called": did, "caller": chance.choice(CALLERS), "forwarded_to": chance.choice(MOBILES)}
        made = booking(self._made, at, account=owners.get(did), answered=chance.random() < 0.7, legs=chance.randint(1, 3), **called)
        legs = tuple(_other(leg, chance.choice(MOBILES)) if leg.number > 1 else leg for leg in made.legs)
        return Booking(made.call, legs)


def _other(leg: LegRow, address: str) -> LegRow:
    return LegRow(leg.call_id, leg.started_at, leg.number, 2, TargetKind.MOBILE, address, "trunk-a", leg.started_at, None, None, Disposition.BUSY, 17, 486)


def is_edge(day: date) -> bool:
    """Tell whether a day is one where calendars go wrong: the clocks change, a month or the financial year ends, or it is next to 29 February."""
    clocks = {changed.date() for changed in changes(day.year)}
    return day in clocks or (day + DAY).day == 1 or (day.month, day.day) in {(2, 28), (2, 29), (3, 1), (4, 1)}


def tell(told: Reference, made: Booking) -> None:
    """Tell the reference of a call that was booked."""
    call = made.call
    at = _moment(call.started_at)
    numbers = {call.did, call.caller, call.called, call.forwarded_to, *(leg.address for leg in made.legs)}
    told.add("call", (call.call_id,), Row(at, call.account_id, frozenset(number for number in numbers if number)))
    for leg in made.legs:
        told.add("leg", (call.call_id, leg.number), Row(at))
    if call.answered_at is not None and call.account_id is not None:
        told.add("invoice_line", (at,), Row(at, call.account_id, frozenset({call.did} if call.did else ())))


def booked_at(made: Booking) -> datetime:
    """Return when a call began."""
    return _moment(made.call.started_at)


def _moment(at: int) -> datetime:
    moment = datetime.fromisoformat("1970-01-01T00:00:00+00:00") + timedelta(microseconds=at)
    assert micros(moment) == at
    return moment


def edges(first: date, last: date) -> Iterator[date]:
    """Yield the days between two on which a run must not be missing from the test."""
    day = first
    while day <= last:
        if is_edge(day):
            yield day
        day += DAY
