"""Which phones registered, and from where, since that was last written down. Decides only; `ami.main` asks Asterisk and writes.

Asterisk 22 tells of a new contact by the event ContactStatus, and of a renewal not at all: so the contacts are listed every minute, and a contact
whose expiry moved was renewed since. A contact's address is where the request came from, because phones have `rewrite_contact`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from ipaddress import ip_address

from panoramisk.message import Message

from ari_app.ami.registrations import Contact
from ringfence.clock import Clock
from ringfence.queries.registrations import Seen

EVERY = timedelta(minutes=1)  # one phone is written down at most so often
_THERE = frozenset({"Created", "Updated", "Reachable", "NonQualified", "Unknown"})
_HOST = re.compile(r"sips?:(?:[^@]*@)?(?:\[(?P<v6>[0-9a-fA-F:.]{2,45})\]|(?P<v4>[0-9.]{7,15}))(?::[0-9]{1,5})?(?:[;?].*)?", re.ASCII | re.DOTALL)


class LastSeen:
    """What is known of each phone, and what waits to be written.

    Args:
        is_ours: whether a name is that of a phone of ours.
        clock: the clock.
    """

    def __init__(self, is_ours: Callable[[str], bool], clock: Clock) -> None:
        self._is_ours = is_ours
        self._clock = clock
        self._known: dict[str, tuple[str, datetime | None]] = {}  # address and expiry, as last listed or written
        self._heard: dict[str, Seen] = {}  # since the last list
        self._waiting: dict[str, Seen] = {}
        self._written: dict[str, datetime] = {}

    def remember(self, held: Iterable[Seen]) -> None:
        """Begin with what the store holds, so that a restart writes only what changed."""
        self._known.update((one.endpoint, (one.address, one.expires_at)) for one in held)

    def heard(self, event: Message) -> None:
        """Take an event in; what is no registration of a phone of ours is ignored."""
        if event.event != "ContactStatus" or event.contactstatus not in _THERE or not self._is_ours(event.endpointname):
            return
        address = address_of(str(event.uri))
        if address:
            seen = Seen(event.endpointname, address, self._clock.now(), None)
            self._heard[seen.endpoint] = self._waiting[seen.endpoint] = seen

    def listed(self, contacts: Iterable[Contact]) -> None:
        """Take in every contact that there is now."""
        for contact in contacts:
            name, address = contact.endpoint, address_of(contact.uri)
            if not self._is_ours(name) or not address or self._known.get(name) == (address, contact.expires_at):
                continue
            self._known[name] = (address, contact.expires_at)
            heard = self._heard.get(name)
            at = heard.at if heard is not None and heard.address == address else self._clock.now()
            self._waiting[name] = Seen(name, address, at, contact.expires_at)
        self._heard.clear()
        for gone in [name for name in self._known if not self._is_ours(name)]:
            self._known.pop(gone)
            self._written.pop(gone, None)

    def take(self) -> list[Seen]:
        """Return what is to be written now: of no phone more than once a minute; the rest waits."""
        now = self._clock.now()
        due = [seen for name, seen in self._waiting.items() if name not in self._written or not timedelta() <= now - self._written[name] < EVERY]
        for seen in due:
            self._written[seen.endpoint] = now
            del self._waiting[seen.endpoint]
        return due

    def put_back(self, seen: Iterable[Seen]) -> None:
        """Let what could not be written wait, unless something newer does."""
        for one in seen:
            self._waiting.setdefault(one.endpoint, one)
            self._written.pop(one.endpoint, None)


def address_of(uri: str) -> str:
    """Return the IP address of a contact's URI, in its usual form; empty when it has none. A phone writes what stands before it."""
    match = _HOST.fullmatch(uri)
    try:
        return str(ip_address(match["v6"] or match["v4"])) if match else ""
    except ValueError:
        return ""
