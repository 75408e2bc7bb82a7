"""Calls to 999 that are up, written into the decision journal: the static way writes none, and one that goes down with its Asterisk would be in no record.

Nothing of it is on the call's way. Asterisk says that a call begins by an event that waits for nobody; what began while nobody listened is found among the
channels at the next connect. The booker books those that never came to an end.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime

import structlog
from panoramisk.message import Message

from ari_app.ami.client import AmiClient
from ari_app.ami.lost import Journal
from dialplan.call import format_facts, format_routed, parse_facts, parse_routed
from dialplan.emergency_call import CODES
from ringfence.clock import FixedClock, from_epoch
from ringfence.errors import Invalid, Refused
from ringfence.values import RoutedBy

log = structlog.get_logger(__name__)

_LINKEDID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,39}-([0-9]{9,11})\.[0-9]{1,12}\Z")
_CHANNEL = re.compile(r"PJSIP/[a-z0-9-]{1,60}\Z")


def caller_of(event: Message) -> str:
    """Return the phone that calls, from `UserEvent: EmergencyCall`; empty when it cannot be read."""
    try:
        return parse_facts(str(event.facts or "")).origin
    except Invalid:
        return ""


class EmergencyJournal:
    """Notes each call to 999 once, while this process lives.

    Args:
        journal_at: opens a journal that writes as of a moment.
        now: the present moment.
    """

    def __init__(self, journal_at: Callable[[FixedClock], Journal], now: Callable[[], datetime]) -> None:
        self._journal_at, self._now = journal_at, now
        self._noted: set[str] = set()

    def heard(self, event: Message) -> None:
        """Note a call that begins, from `UserEvent: EmergencyCall`. Never raises: what cannot be noted is logged."""
        self._note(str(event.linkedid or ""), str(event.facts or ""), str(event.by or ""), self._now())

    async def look(self, client: AmiClient) -> None:
        """Note the calls that are up and were not noted: they began while this process was away.

        Raises:
            Unavailable: the connection ended.
        """
        up: set[str] = set()
        for channel in await client.listing("CoreShowChannels"):
            up.add(channel.linkedid)
            if channel.context == "emergency" and channel.exten in CODES and channel.linkedid not in self._noted and _CHANNEL.match(channel.channel):
                try:
                    facts, routed = [str((await client.action("Getvar", Channel=channel.channel, Variable=name)).value or "") for name in ("RF_IN", "RF_BY")]
                except Refused:  # it ended meanwhile, and is in the ledger
                    continue
                self._note(channel.linkedid, facts, routed, None)
        self._noted &= up

    def _note(self, linkedid: str, facts: str, routed: str, at: datetime | None) -> None:
        try:
            latest = _began_by(linkedid)
            texts = format_facts(parse_facts(facts)), format_routed(parse_routed(routed))
            journal = self._journal_at(FixedClock(at or latest))
            try:
                journal.decided(linkedid, str(RoutedBy.STATIC), 1, facts=texts[0], routed=texts[1], legs="")
            finally:
                journal.close()
        except (Invalid, OSError) as error:
            log.error("emergency_call_not_noted", call_id=linkedid[:60], reason=str(error))  # noqa: TRY400  the trace says nothing more
        else:
            self._noted.add(linkedid)


def _began_by(linkedid: str) -> datetime:
    """Return when a call had begun: up to a second late rather than early, so that it never seems to be of the Asterisk before."""
    match = _LINKEDID.match(linkedid)
    if not match:
        raise Invalid("a call to 999 has no linkedid")
    return from_epoch(int(match[1]) + 1)
