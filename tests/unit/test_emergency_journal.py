"""What the manager process notes of calls to 999, whatever Asterisk's event says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from panoramisk.message import Message

from ari_app.ami.emergency import EmergencyJournal, caller_of
from ringfence.clock import FixedClock

NOW = datetime(2026, 11, 22, 8, tzinfo=UTC)
FACTS, BY = "out:999::allowed:desk:0:", "static::7:+442079460123:"


class Book:
    """A journal that remembers."""

    def __init__(self, *, full: bool = False) -> None:
        self.full = full
        self.lines: list[tuple[datetime, str, str, str, str, str]] = []
        self._at = NOW

    def __call__(self, clock: FixedClock) -> Book:
        self._at = clock.now()
        return self

    def decided(self, call_id: str, by: str, attempt: int, *, facts: str, routed: str, legs: str) -> None:
        if self.full:
            raise OSError(28, "No space left on device")
        assert attempt == 1
        self.lines.append((self._at, call_id, by, facts, routed, legs))

    def close(self) -> None:
        return


def event(**values: str) -> Message:
    return Message({"Event": "UserEvent", "UserEvent": "EmergencyCall", "Linkedid": "node1-1795302588.12", "Facts": FACTS, "By": BY, **values})


def noted(found: Any, *, full: bool = False) -> list[Any]:
    book = Book(full=full)
    EmergencyJournal(book, lambda: NOW).heard(found)
    return book.lines


def test_a_call_is_noted_as_it_began() -> None:
    assert noted(event()) == [(NOW, "node1-1795302588.12", "static", FACTS, BY, "")]
    assert caller_of(event()) == "desk"


@pytest.mark.parametrize("wrong", [{"Linkedid": ""}, {"Linkedid": "x\ny"}, {"Facts": ""}, {"Facts": "out:999"}, {"By": "somebody::::"}, {"By": "static"}])
def test_what_cannot_be_read_is_not_noted_and_stops_nothing(wrong: dict[str, str]) -> None:
    assert noted(event(**wrong)) == []


def test_a_full_disk_stops_nothing() -> None:
    assert noted(event(), full=True) == []


TEXT = st.text(alphabet="abc019:|+-._\n\r\0é$", max_size=40)


@given(linkedid=TEXT | st.just("node1-1795302588.12"), facts=TEXT | st.just(FACTS), by=TEXT | st.just(BY))
def test_whatever_the_event_says(linkedid: str, facts: str, by: str) -> None:
    found = event(Linkedid=linkedid, Facts=facts, By=by)
    caller_of(found)
    for line in noted(found):
        assert all("\n" not in text and "|" not in text for text in line[1:] if isinstance(text, str))
