"""Legal holds as acts: placed, reviewed, released, each with its audit entry in the same transaction.

A secret hold leaves no trace that others can read: no entry, no version, no count. What it covers leaves its table when it is due, as if there were no
hold, and is kept for its keeper alone.
"""

from __future__ import annotations

from datetime import date

from sqlalchemy.orm import Session

from retention.calendar import local_date
from retention.verify.format import Hold
from ringfence.audit import log
from ringfence.clock import Clock
from ringfence.errors import Conflict, Invalid, Refused
from ringfence.models import HeldRow, LegalHold
from ringfence.models.base import DataClass
from ringfence.queries import holds
from ringfence.queries.conservation import begin_alone
from ringfence.queries.holds import Scope
from ringfence.queries.purge import drop_held_rows

FILES = frozenset({DataClass.LEDGER, DataClass.SPOOL, DataClass.EXPORT, DataClass.BACKUP, DataClass.LOG})


def place(session: Session, clock: Clock, scope: Scope, *, reason: str, owner: str, review_by: date, secret: bool = False) -> LegalHold:
    """Place a hold and return it. It is in force when the transaction commits; no batch deletes past it. With `secret`, the owner is its keeper.

    Raises:
        Invalid: it covers everything, its period is empty, or the class is none.
        Refused: a secret hold on files, which would show, or a review that is not to come.
    """
    _check(scope, reason, owner, secret=secret)
    if review_by <= local_date(clock.now()):
        raise Refused(f"{review_by.isoformat()} is no day to come", hint="give the day on which somebody must look again")
    begin_alone(session)
    version = None
    if secret:
        holds.lock_alone(session)
    else:
        version = holds.lock_version(session, change=True)
    hold = LegalHold(
        id=log.new_id(),
        data_class=scope.data_class,
        account_id=scope.account_id,
        number=scope.number,
        since=scope.since,
        until=scope.until,
        reason=reason.strip(),
        owner=owner,
        review_by=review_by,
        secret=secret,
        keeper=owner if secret else None,
        placed_at=clock.now(),
        placed_version=version,
    )
    holds.add_hold(session, hold)
    if version is not None:
        log.append(session, clock, "legal_hold.placed", actor="operator", hold=hold.id, hold_version=version)
    return hold


def release(session: Session, clock: Clock, hold_id: str, *, by: str) -> LegalHold:
    """End a hold. What it kept goes at the next run; what a secret one kept goes now.

    Raises:
        NotFound: `by` may know of no such hold.
        Conflict: it is released already.
    """
    begin_alone(session)
    hold = holds.find_hold(session, hold_id, by, lock=True)
    if hold.released_at is not None:
        raise Conflict(f"the legal hold {hold_id} is released already", hint="see 'ringfence hold list --all'")
    if hold.secret:
        holds.lock_alone(session)
        drop_held_rows(session, hold.id)
    else:
        hold.released_version = holds.lock_version(session, change=True)
    hold.released_at, hold.released_by = clock.now(), by
    session.flush()
    if hold.released_version is not None:
        log.append(session, clock, "legal_hold.released", actor="operator", hold=hold.id, hold_version=hold.released_version)
    return hold


def review(session: Session, clock: Clock, hold_id: str, *, by: str, next_review: date) -> LegalHold:
    """Note that somebody looked at a hold and that it is still needed.

    Raises:
        NotFound: `by` may know of no such hold.
        Conflict: it is released.
        Refused: the next review is not to come.
    """
    begin_alone(session)
    hold = holds.find_hold(session, hold_id, by, lock=True)
    if hold.released_at is not None:
        raise Conflict(f"the legal hold {hold_id} is released", hint="place another one")
    if next_review <= local_date(clock.now()):
        raise Refused(f"{next_review.isoformat()} is no day to come", hint="give the day on which somebody must look again")
    hold.reviewed_at, hold.review_by = clock.now(), next_review
    session.flush()
    if not hold.secret:
        log.append(session, clock, "legal_hold.reviewed", actor="operator", hold=hold.id)
    return hold


def list_visible(session: Session, viewer: str | None = None, *, released: bool = False) -> list[LegalHold]:
    """Return the holds that a viewer may know of; None = anybody."""
    return holds.list_holds(session, viewer, released=released)


def kept_rows(session: Session, hold_id: str, keeper: str) -> list[HeldRow]:
    """Return what a secret hold has kept, for its keeper.

    Raises:
        NotFound: `keeper` may know of no such hold.
    """
    return holds.held_rows(session, holds.find_hold(session, hold_id, keeper).id)


def evidence(session: Session) -> tuple[Hold, ...]:
    """Return the holds as a bundle shows them to anybody."""
    found = holds.list_holds(session, None, released=True)
    return tuple(Hold(hold.id, hold.data_class, hold.placed_version or 0, hold.released_version, hold.review_by.isoformat()) for hold in found)


def _check(scope: Scope, reason: str, owner: str, *, secret: bool) -> None:
    if all(value is None for value in (scope.data_class, scope.account_id, scope.number, scope.since, scope.until)):
        raise Invalid("a hold on everything is none", hint="name an account, a number, a period or a class")
    if scope.data_class is not None and scope.data_class not in set(DataClass):
        raise Invalid(f"there is no data class {scope.data_class!r}", hint="'ringfence retention map' lists them")
    if scope.since is not None and scope.until is not None and scope.since >= scope.until:
        raise Invalid("the period ends before it begins", hint="give its first moment, and the first moment after it")
    if not reason.strip() or len(reason) > 400 or not owner.strip():
        raise Invalid("a hold needs an owner and a reason of at most 400 characters", hint="say who answers for it and why")
    if secret and scope.data_class is not None and DataClass(scope.data_class) in FILES:
        raise Refused("a secret hold cannot cover files: one that stays shows", hint="copy what you need, or place an open hold")
