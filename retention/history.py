"""Made-up years of calls, for demonstrations and rehearsals: drama numbers only (Ofcom), booked by the functions that book real ones.

The same seed makes the same calls. They are spread over the days of London as an office's calls are: few at night and at weekends.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta
from itertools import accumulate

import msgspec
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from dialplan.emergency_call import CODES
from retention.calendar import Period, latest, midnight
from ringfence.batches import batched
from ringfence.clock import Clock, FixedClock
from ringfence.errors import Conflict, NotFound
from ringfence.queries import accounts, ledger, numbering
from ringfence.queries.ledger import Booking, CallRow, LegRow, micros
from ringfence.queries.strangers import strangers
from ringfence.session import make_sessions
from ringfence.values import E164, Direction, Disposition, ForwardingStatus, HungUpBy, NumberClass, PlanTarget, RoutedBy, TargetKind

NODE = "history"  # no node: reconciling a real one does not meet these calls
CUSTOMERS: Mapping[str, tuple[str, tuple[str, ...]]] = {  # by reference: name, numbers
    "harbour-tea": ("Harbour Tea Rooms (made up)", ("+442079460301", "+442079460302")),
    "old-mill": ("Old Mill Studio (made up)", ("+441174960301",)),
}
DEMO = "sample"  # the account of `make demo` and `make run`
DRAMA = ("+442079460", "+441174960", "+447700900")  # how drama numbers of London, Bristol and mobiles begin
_AT_ONCE = 4_000  # calls in a transaction
_DAY = timedelta(days=1)
_WEEKEND = 0.35  # of a working day's calls
_HOURS = (1, 1, 1, 1, 1, 2, 4, 10, 30, 60, 70, 65, 55, 60, 65, 60, 50, 40, 22, 14, 10, 6, 3, 2)  # weight of each hour
_HOUR_WEIGHTS = tuple(accumulate(_HOURS))
_SECOND = 1_000_000  # microseconds
_ENDINGS = (  # weight, disposition, what became of the forwarding, Q.850 cause, SIP status, who ended it
    (72, Disposition.ANSWERED, ForwardingStatus.FORWARDED, 16, None, HungUpBy.CALLER),
    (11, Disposition.NO_ANSWER, ForwardingStatus.NOT_ANSWERED, 19, 480, HungUpBy.SYSTEM),
    (6, Disposition.BUSY, ForwardingStatus.NOT_ANSWERED, 17, 486, HungUpBy.CALLEE),
    (7, Disposition.ABANDONED, ForwardingStatus.NOT_ANSWERED, 16, None, HungUpBy.CALLER),
    (2, Disposition.DECLINED, ForwardingStatus.NOT_ANSWERED, 21, 603, HungUpBy.CALLEE),
    (2, Disposition.FAILED, ForwardingStatus.NOT_REACHED, 38, 503, HungUpBy.SYSTEM),
)
_ENDING_WEIGHTS = tuple(accumulate(weight for weight, *_ in _ENDINGS))


class Wanted(msgspec.Struct, frozen=True):
    """Which history."""

    first: date  # day of London
    last: date
    per_day: int  # calls on a working day, about
    seed: int


def wanted(today: date, years: int, per_day: int, seed: int) -> Wanted:
    """Return the history of so many years up to yesterday."""
    return Wanted(latest(today, Period(months=12 * years)), today - _DAY, per_day, seed)


def check_ours(session: Session) -> None:
    """Refuse a store that holds anything but what a demonstration made.

    Raises:
        Conflict: it holds something else.
    """
    found = strangers(session, (DEMO, *CUSTOMERS), DRAMA, CODES)
    if found:
        listed = ", ".join(f"{count} {what}{'' if count == 1 else 's'}" for what, count in found.items())
        raise Conflict(f"the store holds {listed} that no demonstration made", hint="made-up calls never go beside real ones: name another store with --config")


def write(engine: Engine, history: Wanted, progress: Callable[[int], None] = lambda _calls: None) -> int:
    """Write a history, with the customers it is of; return how many calls were new. Safe to repeat after it was stopped.

    Raises:
        Conflict: the store holds something else.
    """
    sessions, done, new = make_sessions(engine), 0, 0
    clock = FixedClock(midnight(history.first))
    with sessions.begin() as session:
        check_ours(session)
        owners = _customers(session, clock)
    for calls in batched(bookings(history, owners), _AT_ONCE):
        with sessions.begin() as session:
            ledger.begin_booking(session, NODE)
            new += ledger.insert_bookings(session, calls)
        done += len(calls)
        progress(done)
    return new


def bookings(history: Wanted, owners: Mapping[str, int]) -> Iterator[Booking]:
    """Yield the calls of a history by day. Pure.

    Args:
        history: which.
        owners: numbers, and the accounts they are of.
    """
    chance, numbers = random.Random(history.seed), tuple(owners)  # noqa: S311  made-up calls, no secrets
    day, made = history.first, 0
    while day <= history.last:
        begins, length = micros(midnight(day)), (midnight(day + _DAY) - midnight(day)) // timedelta(hours=1)
        busy = history.per_day * (_WEEKEND if day.isoweekday() > 5 else 1.0) * chance.uniform(0.7, 1.3)
        for _ in range(int(busy + chance.random())):
            hour = min(chance.choices(range(24), cum_weights=_HOUR_WEIGHTS)[0], length - 1)
            made += 1
            yield _call(chance, made, begins + int((hour + chance.random()) * 3600 * _SECOND), numbers, owners)
        day += _DAY


def _customers(session: Session, clock: Clock) -> dict[str, int]:
    """Make the customers that are missing, as from the history's first day; return their numbers with the accounts' ids."""
    owners: dict[str, int] = {}
    for ref, (name, numbers) in CUSTOMERS.items():
        try:
            account = accounts.get_account(session, ref)
        except NotFound:
            account = accounts.add_account(session, clock, ref, name, None)
            for place, e164 in enumerate(numbers):
                numbering.add_did(session, clock, E164(e164), NumberClass.GEOGRAPHIC)
                numbering.assign_did(session, clock, e164, ref)
                numbering.replace_targets(session, clock, e164, [PlanTarget(0, TargetKind.MOBILE, f"+447700900{310 + place}", 25)])
        owners |= dict.fromkeys(numbers, account.id)
    return owners


def _call(chance: random.Random, number: int, at: int, numbers: tuple[str, ...], owners: Mapping[str, int]) -> Booking:
    _, disposition, forwarding, cause, sip, ended_by = chance.choices(_ENDINGS, cum_weights=_ENDING_WEIGHTS)[0]
    did, answered = chance.choice(numbers), disposition is Disposition.ANSWERED
    second = chance.random() < 0.08 or disposition is Disposition.FAILED  # the first trunk refused
    rang = at + int(chance.uniform(0.3, 1.5) * _SECOND) * (1 + second)
    answered_at = rang + int(chance.uniform(2, 18) * _SECOND) if answered else None
    talked = int(chance.expovariate(1 / 150) * _SECOND) + _SECOND
    ended_at = answered_at + talked if answered_at else rang + int(chance.uniform(1, 25) * _SECOND)
    call_id, target, trunk = f"{NODE}-{at // _SECOND}.{number}", f"+447700900{310 + numbers.index(did) % 4}", "second" if second else "first"
    failed = disposition is Disposition.FAILED
    call = CallRow(
        call_id=call_id,
        started_at=at,
        node=NODE,
        linkedid=call_id,
        direction=Direction.INBOUND,
        account_id=owners[did],
        did=did,
        caller=f"{chance.choice(DRAMA)}{chance.randrange(400, 999)}",
        caller_withheld=chance.random() < 0.04,
        called=did,
        inbound_trunk="carrier",
        forwarded_to=target,
        trunk=trunk,
        ringing_at=None if failed else rang,
        answered_at=answered_at,
        ended_at=ended_at,
        end_estimated=False,
        billable_seconds=-((answered_at - ended_at) // _SECOND) if answered_at else 0,
        disposition=disposition,
        forwarding_status=forwarding,
        hangup_cause=cause,
        sip_status=sip,
        hung_up_by=ended_by,
        routed_by=RoutedBy.ARI,
        refusal=None,
        plan_version=None,
    )
    last = LegRow(call_id, at, 1 + second, 1 + second, TargetKind.MOBILE, target, trunk, at, answered_at, ended_at, disposition, cause, sip)
    if not second:
        return Booking(call, (last,))
    refused = LegRow(call_id, at, 1, 1, TargetKind.MOBILE, target, "first", at, None, rang, Disposition.FAILED, 38, 503)
    return Booking(call, (refused, last))
