"""Asking a carrier once more, because a person says so."""

from __future__ import annotations

from sqlalchemy.orm import Session

from retention.emergency import records
from ringfence.clock import Clock
from ringfence.emergency import AddressState, SubmissionAction
from ringfence.errors import Conflict, NotFound
from ringfence.queries import emergency
from ringfence.queries import emergency_outbox as outbox


def submit(session: Session, clock: Clock, e164: str) -> bool:
    """Queue the version that holds once more; return False when it was queued still, and is due now.

    Raises:
        NotFound: nothing is held of the number.
        Conflict: the number's class has no address.
    """
    record = records.require(session, e164)
    records.may_submit(record)
    if outbox.hurry(session, clock, [e164]):
        return False
    outbox.enqueue(session, clock, record, SubmissionAction.SUBMIT)
    return True


def withdraw(session: Session, clock: Clock, e164: str) -> None:
    """Queue the withdrawal of a number's last version once more.

    Raises:
        NotFound: no address of the number waits to be withdrawn.
        Conflict: the number has an address again, which would be taken out with it.
    """
    if emergency.current(session, e164) is not None:
        raise Conflict("the number has an address again, which has taken the place of the one before", hint="there is nothing to withdraw")
    leaving = next((record for record in emergency.versions(session, e164) if record.state is AddressState.WITHDRAWING), None)
    if leaving is None:
        raise NotFound("no address of this number waits to be withdrawn", hint=f"'ringfence emergency address history {e164}' shows its versions")
    if not outbox.hurry(session, clock, [e164]):
        outbox.enqueue(session, clock, leaving, SubmissionAction.WITHDRAW)
