"""Calls that AstDB routed and that were up when Asterisk ended: nobody else knew of them.

The dialplan marks each such call in AstDB and takes the mark away at its end. A mark without a channel is a call that went down with
an Asterisk: its `RF_IN|RF_BY|RF_LEGS` is written into the decision journal, as of the moment it began, and the booker books it as lost. The app tells
the booker of the new Asterisk, at its own pace; so the journal also says that there were marks, and the booker looks again.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

import structlog

from ari_app.ami.client import AmiClient
from dialplan.call import format_facts, format_legs, format_routed, parse_facts, parse_legs, parse_routed
from ringfence.clock import FixedClock, from_epoch
from ringfence.errors import Invalid
from ringfence.values import RoutedBy

log = structlog.get_logger(__name__)

FAMILY = "ringfence-live"
_LINKEDID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,39}-([0-9]{9,11})\.[0-9]{1,12}\Z")


class Journal(Protocol):
    """A decision journal whose clock says when the call began."""

    def decided(self, call_id: str, by: str, attempt: int, *, facts: str, routed: str, legs: str) -> None:
        """Write one decision."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


class LostJournal(Journal, Protocol):
    """One that also takes note of marks."""

    def marks_settled(self, since: datetime) -> None:
        """Write that calls were journalled which began at `since` or later."""
        ...


async def settle_marks(client: AmiClient, journal_at: Callable[[FixedClock], LostJournal]) -> int:
    """Journal the calls whose marks have no channel, and take those marks away; return how many there were.

    A call that ends between two of the questions is not taken for lost: its mark is looked at again at the end, and is gone.

    Args:
        client: the connection.
        journal_at: opens a journal that writes as of a moment.

    Raises:
        Unavailable, Refused: as `AmiClient.action`.
        OSError: the journal cannot be written; the marks stay for the next time.
    """
    marks = await _marks(client)
    if not marks:
        return 0
    up = {channel.linkedid for channel in await client.listing("CoreShowChannels")}
    again = await _marks(client)
    lost = [linkedid for linkedid in marks if linkedid in again and linkedid not in up]
    began = [moment for linkedid in lost if (moment := _journal(linkedid, marks[linkedid], journal_at))]
    if began:
        journal_at(FixedClock(min(began))).marks_settled(min(began))
    await client.delete(FAMILY, lost)
    if lost:
        log.warning("calls_lost_with_asterisk", calls=len(lost))
    return len(lost)


async def _marks(client: AmiClient) -> dict[str, str]:
    marks: dict[str, str] = {}
    await client.tree(FAMILY, lambda entries: marks.update({_text(key)[len(FAMILY) + 1 :]: _text(value) for key, value in entries}))
    return marks


def _journal(linkedid: str, mark: str, journal_at: Callable[[FixedClock], Journal]) -> datetime | None:
    """Journal a call; return when it began."""
    try:
        began, facts, routed, legs = _read(linkedid, mark)
    except Invalid as error:
        log.warning("mark_unreadable", reason=error.message)
        return None
    journal = journal_at(FixedClock(began))
    try:
        journal.decided(linkedid, str(RoutedBy.ASTDB), 1, facts=facts, routed=routed, legs=legs)
    finally:
        journal.close()
    return began


def _read(linkedid: str, mark: str) -> tuple[datetime, str, str, str]:
    match = _LINKEDID.match(linkedid)
    if not match:
        raise Invalid("a mark's key is no linkedid")
    facts, _, decision = mark.partition("|")
    routed, _, legs = decision.partition("|")
    return (from_epoch(int(match[1])), format_facts(parse_facts(facts)), format_routed(parse_routed(routed)), format_legs(parse_legs(legs)))


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
