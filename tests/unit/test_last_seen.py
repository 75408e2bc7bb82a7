"""From where phones register: events and lists that any phone can put its words into, and no phone written down more than once a minute."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from panoramisk.message import Message

from ari_app.ami.last_seen import EVERY, LastSeen, address_of
from ari_app.ami.registrations import Contact
from ringfence.clock import FixedClock
from ringfence.queries.registrations import Seen

START = datetime(2026, 11, 20, 3, tzinfo=UTC)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
HERE, THERE = "192.0.2.7", "2001:db8::7"


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(START)


@pytest.fixture
def seen(clock: FixedClock) -> LastSeen:
    return LastSeen(lambda name: name.startswith("desk"), clock)


def event(name: str = "desk", address: str = HERE, status: str = "NonQualified") -> Message:
    return Message({"Event": "ContactStatus", "EndpointName": name, "URI": f"sip:{name}@{address}:5060", "ContactStatus": status})


def contact(expires: datetime, name: str = "desk", address: str = HERE) -> Contact:
    return Contact(name, f"sip:{name}@{address}:5060", "NonQualified", None, expires)


def test_a_phone_that_comes_is_written_at_once_and_its_renewals_within_a_minute(seen: LastSeen, clock: FixedClock) -> None:
    seen.heard(event())
    assert seen.take() == [Seen("desk", HERE, START, None)]
    clock.set(START + 30 * SECOND)
    seen.listed([contact(START + 300 * SECOND)])
    assert seen.take() == []  # not twice in a minute
    clock.set(START + EVERY)
    assert seen.take() == [Seen("desk", HERE, START, START + 300 * SECOND)]
    clock.set(START + 2 * MINUTE)
    seen.listed([contact(START + 300 * SECOND)])
    assert seen.take() == []  # it was not renewed
    clock.set(START + 3 * MINUTE)
    seen.listed([contact(START + 450 * SECOND)])
    assert seen.take() == [Seen("desk", HERE, clock.now(), START + 450 * SECOND)]


def test_a_storm_of_registrations_is_one_row_a_minute_and_the_newest_wins(seen: LastSeen, clock: FixedClock) -> None:
    written: list[Seen] = []
    for second in range(180):
        clock.set(START + second * SECOND)
        seen.heard(event(address=f"192.0.2.{second % 200}"))
        written += seen.take()
    assert [(one.at - START) // SECOND for one in written] == [0, 60, 120]
    assert written[-1].address == "192.0.2.120"


def test_a_restart_writes_only_what_changed(seen: LastSeen, clock: FixedClock) -> None:
    expires = START + 300 * SECOND
    seen.remember([Seen("desk", HERE, START, expires), Seen("desk-2", HERE, START, expires)])
    clock.set(START + MINUTE)
    seen.listed([contact(expires), contact(expires + SECOND, "desk-2"), contact(expires, "carrier")])
    assert [one.endpoint for one in seen.take()] == ["desk-2"]


def test_what_could_not_be_written_waits_and_gives_way_to_newer(seen: LastSeen, clock: FixedClock) -> None:
    seen.heard(event())
    taken = seen.take()
    seen.put_back(taken)
    assert seen.take() == taken
    clock.set(START + SECOND)
    seen.heard(event(address="192.0.2.8"))
    seen.put_back(taken)
    assert [one.address for one in seen.take()] == ["192.0.2.8"]


def test_a_clock_that_was_set_back_holds_nothing_up(seen: LastSeen, clock: FixedClock) -> None:
    seen.heard(event())
    seen.take()
    clock.set(START - timedelta(days=1))
    seen.heard(event())
    assert len(seen.take()) == 1


def test_who_leaves_trunks_and_other_events_are_nothing(seen: LastSeen) -> None:
    for one in (event(status="Removed"), event(status="Unreachable"), event("carrier"), event(address="example.com"), Message({"Event": "Registry"})):
        seen.heard(one)
    assert seen.take() == []


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        ("sip:desk@192.0.2.7:5060;transport=udp", HERE),
        ("sips:[2001:DB8:0::7]", THERE),
        ("sip:a;b@192.0.2.7", HERE),
        ("sip:192.0.2.7@198.51.100.1", "198.51.100.1"),
        ("sip:desk@300.0.2.7", ""),
        ("sip:desk@[::1", ""),
        ("tel:+442079460123", ""),
        ("", ""),
    ],
)
def test_the_address_of_a_contact(uri: str, address: str) -> None:
    assert address_of(uri) == address


@given(st.text(alphabet="sip:@[]0123456789.;?&abcdef \r\n%", max_size=60))
def test_any_contact_has_an_address_or_none(uri: str) -> None:
    found = address_of(uri)
    assert found == "" or str(ip_address(found)) == found
