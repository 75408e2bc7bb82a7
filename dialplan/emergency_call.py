"""The way of a call to 999, as text that Asterisk can follow alone: what is dialled, by which trunks, and what a phone must have.

Rules: Ofcom General Conditions A3.2(b) (uninterrupted access) and A3.5, A3.6(a) (location, which the services look up by the number that is
presented); PECR regulation 16 (a number is never withheld from them). Only what may call needs it: a phone that is set to take calls only is
outside of the conditions' scope, services that originate calls.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import permutations

from dialplan.identity import UNPRESENTABLE
from dialplan.node_conf import PhoneConf, TrunkConf
from dialplan.numbers import classify
from ringfence.errors import Invalid, Misconfigured
from ringfence.values import E164

CODES = ("999", "112", "18000")  # 18000: by text relay
LEAST_TRUNKS = 2
CALL_BACK_SECONDS = 3600  # so long a call to the site's number rings the phone that called 999
CALL_BACK_RING = 60  # seconds, before the number's own targets are tried
_PREFIXES = ("141", "1470", "18001", "18002")
_RELAY = "18001"  # the caller types: 999 by text relay is 18000
_ACCESS_DIGIT = "9"  # people who had to dial it for a line do so here, too


def dialled_forms() -> Iterator[tuple[str, str]]:
    """Yield everything that a caller may dial for an emergency, and the number that it is: up to two dialling prefixes in any order, or an access digit."""
    for count in range(3):
        for prefixes in permutations(_PREFIXES, count):
            for code in CODES:
                yield "".join(prefixes) + code, "18000" if _RELAY in prefixes else code
    for code in CODES[:2]:
        yield _ACCESS_DIGIT + code, code


def in_turn(trunks: Sequence[TrunkConf]) -> tuple[TrunkConf, ...]:
    """Return the emergency trunks in the order in which a call tries them."""
    return tuple(sorted((trunk for trunk in trunks if trunk.emergency is not None), key=lambda trunk: (trunk.emergency or 0, trunk.name)))


def check_ways(trunks: Sequence[TrunkConf], phones: Sequence[PhoneConf]) -> None:
    """Refuse a configuration in which a phone that may call has not two ways to 999, or no number to present there.

    Raises:
        Misconfigured: naming the phones, and what to do.
    """
    callers = [phone for phone in phones if not phone.receive_only]
    ways = {(trunk.host, trunk.port) for trunk in in_turn(trunks)}
    if callers and len(ways) < LEAST_TRUNKS:
        raise Misconfigured(
            f"{len(callers)} phone(s) may call, and there are {len(ways)} way(s) to 999 instead of {LEAST_TRUNKS}",
            hint="make two with 'ringfence trunk add NAME --host HOST --direction outbound --emergency 10', to different hosts or ports; a phone that only"
            " takes calls needs none: 'ringfence endpoint set NAME --receive-only'",
        )
    for phone in callers:
        if not phone.site:
            raise Misconfigured(
                f"phone {phone.name} has no number that 999 can be shown",
                hint=f"'ringfence endpoint set {phone.name} --did NUMBER', or --receive-only, or 'ringfence endpoint disable {phone.name}'",
            )
    for phone in phones:
        if phone.site and not may_present(phone.site):
            raise Misconfigured(
                f"the number of phone {phone.name} must not be presented to 999",
                hint=f"'ringfence endpoint set {phone.name} --emergency-did NUMBER' with an 01, 02, 03, 056 or 07 number",
            )


def may_present(number: str) -> bool:
    """Whether 999 may be shown an E.164 number: a British one of a class that may be shown as a caller."""
    try:
        return number.startswith("+44") and classify(E164(number)) not in UNPRESENTABLE
    except Invalid:
        return False
