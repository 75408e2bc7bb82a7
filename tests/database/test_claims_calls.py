"""The checks on calls: what nodes wrote down of their ledgers, and what the CDRs say; one violation turns exactly those promises red that rest on it."""

from __future__ import annotations

from datetime import date, timedelta

import msgspec
import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from retention.claims.checking import Status
from ringfence.models import Node
from ringfence.queries import ledger, reconciled
from ringfence.queries.ledger import Booking
from ringfence.queries.reconciled import Compared
from ringfence.settings import Settings
from tests.database.claiming import Seed, checked, evidence, red, resting_on
from tests.database.lived import lived, settings
from tests.database.purging import NOW, booking

__all__ = ["lived", "settings"]
YESTERDAY = date(2026, 11, 19)
INBOUND = Compared("n1", YESTERDAY, outbound=False, compared_at=NOW, decided=3, ledger=3, store=3, ledger_seconds=168, store_seconds=168)
OUTBOUND = Compared("n1", YESTERDAY, outbound=True, compared_at=NOW)
VOIP = "+445601000001"


def seeded(*days: Compared, calls: tuple[Booking, ...] | None = None, nodes: tuple[str, ...] = ("n1",), then: str = "") -> Seed:
    """Return a store with three calls of yesterday, unless others are given, and what its nodes wrote down."""

    def seed(session: Session) -> None:
        ledger.begin_booking(session, "n1")
        ledger.insert_bookings(session, calls if calls is not None else three())
        session.add_all(Node(name=name, booker_seen_at=NOW) for name in nodes)
        session.flush()
        reconciled.note_days(session, days)
        if then:
            session.connection().exec_driver_sql(then)

    return seed


def three() -> tuple[Booking, ...]:
    return tuple(booking(n, NOW - timedelta(days=1, minutes=n)) for n in range(3))


def changed(compared: Compared, /, **values: object) -> Compared:
    return msgspec.structs.replace(compared, **values)


def test_what_nodes_compared_and_what_cdrs_say_passes(lived: Engine, settings: Settings) -> None:
    results = checked(lived, settings, seed=seeded(INBOUND, OUTBOUND))
    assert red(results) == set()
    for name in ("cdr_complete", "outbound_cdr_complete", "billable_seconds", "calls_forwarded"):
        assert evidence(results, name).status is Status.PASS, evidence(results, name)
    found = evidence(results, "cdr_complete").result
    assert (found["decided"], found["in_the_ledger"], found["in_the_store"], found["nodes"]) == (3, 3, 3, ["n1"])
    assert evidence(results, "billable_seconds").result["ledger_seconds"] == 168
    assert evidence(results, "calls_forwarded").result["calls"] == 3
    assert evidence(results, "voip_number_rings_phone").status is Status.NOT_CHECKABLE


@pytest.mark.parametrize(
    ("days", "nodes"),
    [
        ((), ("n1",)),
        ((), ()),
        ((changed(INBOUND, compared_at=NOW - timedelta(hours=4)), changed(OUTBOUND, compared_at=NOW - timedelta(hours=4))), ("n1",)),
        ((INBOUND, OUTBOUND), ("n1", "n2")),
    ],
)
def test_a_node_that_has_not_told_cannot_be_judged(lived: Engine, settings: Settings, days: tuple[Compared, ...], nodes: tuple[str, ...]) -> None:
    """No comparison; no node; one made before the day was over; one of two nodes."""
    results = checked(lived, settings, seed=seeded(*days, nodes=nodes))
    assert red(results) == set()
    for name in ("cdr_complete", "outbound_cdr_complete", "billable_seconds"):
        assert evidence(results, name).status is Status.NOT_CHECKABLE
        assert evidence(results, name).reason


def test_an_inbound_call_that_is_not_everywhere(lived: Engine, settings: Settings) -> None:
    results = checked(lived, settings, seed=seeded(changed(INBOUND, decided=4, differences=1), OUTBOUND))
    assert red(results) == resting_on("cdr_complete") == {"ON-2.2b", "VO-2a"}
    assert evidence(results, "cdr_complete").result["days_with_differences"][0]["day"] == "2026-11-19"


def test_a_difference_of_an_earlier_day_still_counts(lived: Engine, settings: Settings) -> None:
    earlier = changed(INBOUND, day=YESTERDAY - timedelta(days=20), compared_at=NOW - timedelta(days=19), differences=2)
    assert red(checked(lived, settings, seed=seeded(INBOUND, OUTBOUND, earlier))) == {"ON-2.2b", "VO-2a"}


def test_an_outbound_call_that_is_not_everywhere(lived: Engine, settings: Settings) -> None:
    results = checked(lived, settings, seed=seeded(INBOUND, changed(OUTBOUND, ledger=1, differences=1)))
    assert red(results) == resting_on("outbound_cdr_complete") == {"VF-10"}


def test_a_call_that_went_after_it_was_compared(lived: Engine, settings: Settings) -> None:
    results = checked(lived, settings, seed=seeded(changed(INBOUND, store=4), OUTBOUND))
    assert red(results) == {"ON-2.2b", "VO-2a"}
    assert evidence(results, "cdr_complete").result["gone_since_they_were_compared"] == [{"node": "n1", "day": "2026-11-19", "noted": 4, "there": 3}]


@pytest.mark.parametrize("day", [changed(INBOUND, store_seconds=169, seconds_differ=1), changed(INBOUND, seconds_differ=2)])
def test_seconds_that_the_ledger_does_not_have(lived: Engine, settings: Settings, day: Compared) -> None:
    assert red(checked(lived, settings, seed=seeded(day, OUTBOUND))) == resting_on("billable_seconds") == {"VF-2"}


def test_a_call_that_another_target_answered(lived: Engine, settings: Settings) -> None:
    change = "UPDATE call SET forwarded_to = '+447700900999' WHERE call_id = (SELECT max(call_id) FROM call WHERE started_at > '2026-11-01')"
    results = checked(lived, settings, seed=seeded(INBOUND, OUTBOUND, then=change))
    assert red(results) == resting_on("calls_forwarded") == {"ON-3.1a"}
    assert evidence(results, "calls_forwarded").result["without_the_leg_that_answered"] == 1


def test_calls_to_an_056_number(lived: Engine, settings: Settings) -> None:
    call = booking(1, NOW - timedelta(days=1), did=VOIP, called=VOIP, forwarded_to="desk-1")
    compared = (changed(INBOUND, store=1), OUTBOUND)
    by_mobile = checked(lived, settings, seed=seeded(*compared, calls=(call,)))
    assert evidence(by_mobile, "voip_number_rings_phone").status is Status.NOT_CHECKABLE
    phone = "UPDATE leg SET kind = 'endpoint' WHERE address = 'desk-1'"
    by_phone = checked(lived, settings, seed=seeded(*compared, calls=(call,), then=phone))
    assert (red(by_phone), evidence(by_phone, "voip_number_rings_phone").status) == (set(), Status.PASS)
    wrong = "UPDATE leg SET kind = 'endpoint', disposition = 'no_answer' WHERE address = 'desk-1'"
    results = checked(lived, settings, seed=seeded(*compared, calls=(call,), then=wrong))
    assert red(results) == resting_on("voip_number_rings_phone", "calls_forwarded") == {"VF-18", "ON-3.1a"}
