"""Which refusals are final, which may be tried through another trunk, and what the caller is told. All of it is data.

A declined or busy phone is never rung again through another trunk; a trunk that could not take the call is passed over.
Sources: RFC 3261 section 21 for the SIP statuses, ITU-T Q.850 for the causes, Asterisk 22 for how one becomes the other
(`hangup_cause2sip`: 1→404, 17→486, 19 and 20→480, 34→503, anything it does not know→603).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from dialplan.call import LegResult
from ringfence.errors import Invalid


class Verdict(StrEnum):
    """What the result of one leg means for the next attempt."""

    FINAL = "final"  # the target has answered the question: do not ring it again
    TRANSIENT = "transient"  # the trunk failed: another may do


# The causes of Asterisk's Hangup() and the SIP status that the caller hears.
UNALLOCATED = 1  # 404
BUSY = 17  # 486
NO_ANSWER = 19  # 480
UNREACHABLE = 20  # 480
REJECTED = 21  # 403
CONGESTION = 34  # 503
DECLINED = 55  # 603: Asterisk sends it for causes it does not map; 21 would become 403

FINAL_SIP = frozenset({404, 410, 480, 484, 485, 486, 487, 600, 603, 604})
RANG_SIP = frozenset({408, 487})  # final only if it rang: before that the trunk was silent
FINAL_CAUSES = frozenset({1, 17, 18, 19, 20, 22, 28})

_CAUSE_OF_SIP = {404: UNREACHABLE, 410: UNREACHABLE, 480: UNREACHABLE, 484: UNREACHABLE, 485: UNREACHABLE, 604: UNREACHABLE}
_CAUSE_OF_SIP |= {486: BUSY, 600: BUSY, 603: DECLINED, 408: NO_ANSWER, 487: NO_ANSWER}
_CAUSE_OF_STATUS = {"BUSY": BUSY, "NOANSWER": NO_ANSWER, "DONTCALL": DECLINED, "TORTURE": DECLINED}


def verdict(result: LegResult, overrides: Mapping[str, str]) -> Verdict:
    """Say what a leg's result means.

    Args:
        result: how the leg ended.
        overrides: the trunk's own rules, `'404'` (SIP) or `'q21'` (Q.850) to `'final'` or `'transient'`.
    """
    for key in (str(result.sip_status), f"q{result.cause}"):
        if key in overrides:
            return Verdict(overrides[key])
    if result.sip_status in RANG_SIP or (result.sip_status is None and result.dialstatus == "NOANSWER"):
        return Verdict.FINAL if result.rang else Verdict.TRANSIENT
    if result.sip_status is not None:
        redirected = 300 <= result.sip_status < 400  # a callee may not choose where our calls go; it was reached all the same
        return Verdict.FINAL if redirected or result.sip_status in FINAL_SIP else Verdict.TRANSIENT
    if result.dialstatus == "BUSY":
        return Verdict.FINAL
    if result.dialstatus in {"CHANUNAVAIL", "CONGESTION"}:
        return Verdict.TRANSIENT
    return Verdict.FINAL if result.cause in FINAL_CAUSES else Verdict.TRANSIENT


def cause_for_caller(result: LegResult) -> int:
    """Return the cause that tells the caller how a final result went: busy, no answer, declined or not reachable.

    A dead forwarding target is told as 480, not 404: the number that was called does exist.
    """
    if result.sip_status is not None:
        return UNREACHABLE if result.sip_status < 400 else _CAUSE_OF_SIP.get(result.sip_status, CONGESTION)
    return _CAUSE_OF_STATUS.get(result.dialstatus, UNREACHABLE)


def check_overrides(overrides: Mapping[str, str]) -> None:
    """Refuse a trunk's cause rules that cannot be meant.

    Raises:
        Invalid: a key is neither a SIP failure status nor `q` and a Q.850 cause, or a value is not final or transient.
    """
    for key, value in overrides.items():
        is_sip = key.isascii() and key.isdigit() and 300 <= int(key) <= 699 and len(key) == 3
        is_cause = key[:1] == "q" and key[1:].isascii() and key[1:].isdigit() and 1 <= int(key[1:]) <= 127
        if not (is_sip or is_cause):
            raise Invalid(f"{key!r} is neither a SIP status nor a Q.850 cause", hint="write a status like 503, or a cause like q34")
        if value not in set(Verdict):
            raise Invalid(f"{value!r} is not a verdict", hint="write final or transient")
