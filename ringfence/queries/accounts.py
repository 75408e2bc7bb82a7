"""Accounts and their phones. Whatever changes routing raises the plan's version first, and so has the plan to itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypedDict, Unpack

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ringfence.clock import Clock
from ringfence.errors import Conflict, Refused
from ringfence.models import Account, Did, Endpoint, Target, Trunk
from ringfence.provisioning import not_found
from ringfence.queries import registrations
from ringfence.queries.plan import ChangeKind, begin_change, bump, note_changes
from ringfence.values import AccountState, TargetKind


class AccountValues(TypedDict, total=False):
    """What can be set on an account; a key that is not given stays as it is."""

    name: str
    concurrency_limit: int | None


class EndpointValues(TypedDict, total=False):
    """What can be set on an endpoint; a key that is not given stays as it is."""

    caller_did: str | None
    emergency_did: str | None
    receive_only: bool
    ha1: str
    enabled: bool


def add_account(session: Session, clock: Clock, ref: str, name: str, concurrency_limit: int | None) -> Account:
    """Make an active account.

    Raises:
        Conflict: the reference is taken.
    """
    version = begin_change(session, clock)
    if session.scalar(select(Account.id).where(Account.ref == ref)) is not None:
        raise Conflict(f"account {ref} exists already", hint=f"'ringfence account show {ref}' shows it; choose another reference for a new one")
    account = Account(ref=ref, name=name, state=AccountState.ACTIVE, concurrency_limit=concurrency_limit, created_at=clock.now(), closed_at=None)
    session.add(account)
    session.flush()
    note_changes(session, clock, version, [(ChangeKind.ACCOUNT, str(account.id))])
    return account


def get_account(session: Session, ref: str) -> Account:
    """Return the account.

    Raises:
        NotFound: there is none of that reference.
    """
    account = session.scalar(select(Account).where(Account.ref == ref))
    if account is None:
        near = select(Account.ref).where(func.lower(Account.ref).startswith(ref[:1].lower(), autoescape=True)).limit(1000)
        raise not_found("account", ref, session.scalars(near).all(), "ringfence account list")
    return account


def refs_of(session: Session, ids: Iterable[int]) -> dict[int, str]:
    """Return the references of accounts by their ids; those that are gone are missing."""
    return {row[0]: row[1] for row in session.execute(select(Account.id, Account.ref).where(Account.id.in_(list(ids))))}


def list_accounts(session: Session, *, state: AccountState | None = None) -> list[tuple[Account, int]]:
    """Return the accounts, by reference, each with how many numbers it has."""
    statement = select(Account, func.count(Did.e164)).outerjoin(Did, Did.account_id == Account.id).group_by(Account.id).order_by(Account.ref)
    if state is not None:
        statement = statement.where(Account.state == state)
    return [(account, count) for account, count in session.execute(statement)]


def set_account(session: Session, clock: Clock, ref: str, **values: Unpack[AccountValues]) -> Account:
    """Set values of an account.

    Raises:
        NotFound: as `get_account`.
        Conflict: it is closed.
    """
    version = begin_change(session, clock)
    account = get_open_account(session, ref)
    for key, value in values.items():
        setattr(account, key, value)
    note_changes(session, clock, version, [(ChangeKind.ACCOUNT, str(account.id))])
    return account


def set_account_state(session: Session, clock: Clock, ref: str, state: AccountState) -> Account:
    """Suspend or reactivate an account; `queries.numbering.close_account` closes one.

    Raises:
        NotFound: as `get_account`.
        Conflict: it is closed.
    """
    version = begin_change(session, clock)
    account = get_open_account(session, ref)
    account.state = state
    note_changes(session, clock, version, [(ChangeKind.ACCOUNT, str(account.id))])
    return account


def get_open_account(session: Session, ref: str) -> Account:
    """Return an account that is not closed.

    Raises:
        NotFound: as `get_account`.
        Conflict: it is closed.
    """
    account = get_account(session, ref)
    if account.state is AccountState.CLOSED:
        raise Conflict(f"account {ref} is closed", hint="a closed account stays closed; make a new one with 'ringfence account add'")
    return account


def add_endpoint(
    session: Session, clock: Clock, name: str, ref: str, *, caller_did: str | None, ha1: str, emergency_did: str | None = None, receive_only: bool = False
) -> Endpoint:
    """Make an enabled endpoint of an account.

    Args:
        session: an open transaction.
        clock: the clock.
        name: its SIP user name.
        ref: the account.
        caller_did: the account's DID that its own calls present.
        ha1: MD5 of `name:realm:password` (RFC 2617), 32 hexadecimal digits.
        emergency_did: the account's DID that 999 is shown; None = `caller_did`.
        receive_only: refuse its calls, so that it needs no way to 999.

    Raises:
        NotFound: as `get_account`.
        Conflict: the name is taken, by an endpoint or a trunk, or the account is closed.
        Refused: the DID is not the account's.
    """
    bump(session, clock, [(ChangeKind.ENDPOINT, name)])
    refuse_taken_name(session, name)
    account = get_open_account(session, ref)
    _check_caller_did(session, account, caller_did)
    _check_caller_did(session, account, emergency_did)
    endpoint = Endpoint(
        name=name,
        account_id=account.id,
        caller_did=caller_did,
        emergency_did=emergency_did,
        receive_only=receive_only,
        ha1=ha1,
        enabled=True,
        created_at=clock.now(),
    )
    session.add(endpoint)
    session.flush()
    return endpoint


def get_endpoint(session: Session, name: str) -> Endpoint:
    """Return the endpoint.

    Raises:
        NotFound: there is none of that name.
    """
    endpoint = session.get(Endpoint, name)
    if endpoint is None:
        near = select(Endpoint.name).where(Endpoint.name.startswith(name[:1], autoescape=True)).limit(1000)
        raise not_found("endpoint", name, session.scalars(near).all(), "ringfence endpoint list")
    return endpoint


def list_endpoints(session: Session, *, account_id: int | None = None, open_only: bool = False) -> list[tuple[Endpoint, str]]:
    """Return the endpoints, by name, each with its account's reference; `open_only` leaves out those of closed accounts."""
    statement = select(Endpoint, Account.ref).join(Account, Account.id == Endpoint.account_id).order_by(Endpoint.name)
    if account_id is not None:
        statement = statement.where(Endpoint.account_id == account_id)
    if open_only:
        statement = statement.where(Account.state != AccountState.CLOSED)
    return [(endpoint, ref) for endpoint, ref in session.execute(statement)]


def set_endpoint(session: Session, clock: Clock, name: str, **values: Unpack[EndpointValues]) -> Endpoint:
    """Set values of an endpoint.

    Raises:
        NotFound: as `get_endpoint`.
        Refused: the DID is not its account's.
    """
    bump(session, clock, [(ChangeKind.ENDPOINT, name)])
    endpoint = get_endpoint(session, name)
    for number in (values.get("caller_did"), values.get("emergency_did")):
        _check_caller_did(session, session.get_one(Account, endpoint.account_id), number)
    for key, value in values.items():
        setattr(endpoint, key, value)
    session.flush()
    return endpoint


def remove_endpoint(session: Session, clock: Clock, name: str) -> None:
    """Remove an endpoint.

    Raises:
        NotFound: as `get_endpoint`.
        Conflict: numbers forward to it.
    """
    bump(session, clock, [(ChangeKind.ENDPOINT, name)])
    endpoint = get_endpoint(session, name)
    used = len(forwarding_to(session, name))
    if used:
        raise Conflict(
            f"{used} number(s) forward to endpoint {name}", hint=f"'ringfence endpoint show {name}' lists them; change each with 'ringfence number forward'"
        )
    session.delete(endpoint)
    registrations.forget(session, name)
    session.flush()


def forwarding_to(session: Session, name: str) -> list[str]:
    """Return the numbers that forward to an endpoint."""
    return list(session.scalars(select(Target.did).where(Target.kind == TargetKind.ENDPOINT, Target.address == name).order_by(Target.did)))


def refuse_taken_name(session: Session, name: str) -> None:
    """Refuse a name that a trunk or an endpoint has: both become PJSIP endpoints.

    Raises:
        Conflict: it is taken.
    """
    for kind, taken in (("trunk", session.get(Trunk, name)), ("endpoint", session.get(Endpoint, name))):
        if taken is not None:
            raise Conflict(
                f"the name {name} is taken by a{'n' if kind == 'endpoint' else ''} {kind}", hint=f"'ringfence {kind} show {name}' shows it; choose another name"
            )


def _check_caller_did(session: Session, account: Account, caller_did: str | None) -> None:
    if caller_did is None:
        return
    did = session.get(Did, caller_did)
    if did is None or did.account_id != account.id:
        raise Refused(f"the DID is not one of account {account.ref}", hint=f"'ringfence number list --account {account.ref}' lists its numbers")
