"""Which calls to 999 carry the address of the phone's site by value, and when that is refused. Pure.

Off unless an emergency trunk asks for it: no UK carrier is known to read a location (the 999 database is read by the number that is presented), so it is for
one that says so. It comes on top of the number and never in its place.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from dialplan.call import LOCATED
from dialplan.emergency.civic import civic_address
from dialplan.node_conf import NodeConf, PhoneConf, TrunkConf
from ringfence.errors import Invalid, Misconfigured

MODULES = ("res_geolocation", "res_pjsip_geolocation")
PROVEN = (22, 10, 1)  # the Asterisk on which the document was validated; later ones of the same series are taken, too
_SAFE = re.compile(r"[A-Za-zÀ-ÖØ-öø-ÿ0-9 '\-./()#,:]{1,600}\Z")  # what a record may hold, with '&' as a word
_LEADING = re.compile(r"(\d+)\.(\d+)\.(\d+)")


def asks(trunks: Sequence[TrunkConf]) -> bool:
    """Whether any emergency trunk gets the address."""
    return any(trunk.location for trunk in trunks)


def first_dialled(trunk: TrunkConf) -> str:
    """Return the PJSIP endpoint by which a call to 999 tries an emergency trunk first.

    One that sends the address is an endpoint of its own: Asterisk 22 drops an endpoint that wants a location when the module for it is not there, and a
    carrier may refuse what it does not know. Both must cost the address, not the call, so the second round is made without it.
    """
    return trunk.name + LOCATED if trunk.location else trunk.name


def elements(phone: PhoneConf) -> tuple[tuple[str, str], ...]:
    """Return a phone's location, `(name, value)`, checked once more: Asterisk substitutes variables in it when it builds an INVITE.

    Raises:
        Invalid: a value has a character that means something to Asterisk, whatever let it into the store.
    """
    found = civic_address(phone.address) if phone.address else ()
    if not all(_SAFE.match(value) for _, value in found):
        raise Invalid(f"the address for 999 of phone {phone.name} has a character that a configuration file cannot hold", hint="enter the address anew")
    return found


def check_location(conf: NodeConf) -> None:
    """Refuse a trunk that asks for the address when this Asterisk is not one that was shown to send it properly.

    Raises:
        Misconfigured: with the reason, and what to do.
    """
    if not asks(conf.trunks):
        return
    refuse_unproven(conf.asterisk)
    if not conf.geolocation:
        raise Misconfigured(f"this Asterisk lacks {' and '.join(MODULES)}, which put an address into a call to 999", hint=_without(conf))


def refuse_unproven(version: str) -> None:
    """Refuse an Asterisk on which locations were not tried.

    Raises:
        Misconfigured: it is older than the proven one, or of another series.
    """
    found = _LEADING.match(version)
    number = tuple(int(part) for part in found.groups()) if found else ()
    if number[:1] != PROVEN[:1] or number < PROVEN:
        proven = ".".join(map(str, PROVEN))
        raise Misconfigured(
            f"an address in a call to 999 was proven on Asterisk {proven} and later ones of that series; this is {version or 'not known'}",
            hint=f"use Asterisk {proven}, or turn it off: 'ringfence trunk set NAME --clear emergency-location'",
        )


def _without(conf: NodeConf) -> str:
    names = ", ".join(trunk.name for trunk in conf.trunks if trunk.location)
    return f"install them, or turn it off: 'ringfence trunk set NAME --clear emergency-location' for {names}"
