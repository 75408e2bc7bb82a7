"""A small operator for the tests of decisions: two accounts, a handful of numbers, trunks and phones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from dialplan.call import CallFacts, Leg, LegResult, TriedAttempt
from dialplan.routing import Attempt
from ringfence.emergency import AddressState, LocationClass, RecordFacts
from ringfence.values import (
    E164,
    AccountState,
    CallerIdMode,
    DidState,
    Direction,
    NumberFormat,
    PlanAccount,
    PlanDid,
    PlanEndpoint,
    PlanTarget,
    PlanTrunk,
    TargetKind,
    TrunkDirection,
)

DID = "+442079460123"
OTHER_DID = "+442079460124"
CALLER = "+441174960999"
MOBILE = "+447700900123"
SECOND_MOBILE = "+447700900456"
LANDLINE = "+441174960555"
ACCEPTED = RecordFacts(LocationClass.FIXED, AddressState.ACCEPTED)


class PlanOf:
    """A plan made of what a test gives it (`dialplan.routing.Plan`)."""

    version = 7

    def __init__(
        self,
        dids: Iterable[PlanDid] = (),
        *,
        trunks: Iterable[PlanTrunk] | None = None,
        endpoints: Iterable[PlanEndpoint] = (),
        accounts: Iterable[PlanAccount] | None = None,
    ) -> None:
        self.dids = {did.e164: did for did in dids}
        self.trunks = {trunk.name: trunk for trunk in (trunks if trunks is not None else (trunk("trunk-a", priority=1), trunk("trunk-b", priority=2)))}
        self.endpoints = {endpoint.name: endpoint for endpoint in endpoints}
        self.accounts = {account.account_id: account for account in (accounts if accounts is not None else (account(1), account(2)))}

    def did(self, e164: str) -> PlanDid | None:
        return self.dids.get(E164(e164))

    def account(self, account_id: int) -> PlanAccount | None:
        return self.accounts.get(account_id)

    def endpoint(self, name: str) -> PlanEndpoint | None:
        return self.endpoints.get(name)

    def trunk(self, name: str) -> PlanTrunk | None:
        return self.trunks.get(name)

    def outbound_trunks(self) -> Sequence[PlanTrunk]:
        usable = (trunk for trunk in self.trunks.values() if trunk.enabled and trunk.direction is not TrunkDirection.INBOUND)
        return tuple(sorted(usable, key=lambda trunk: (trunk.priority, trunk.name)))


def account(account_id: int = 1, *, state: AccountState = AccountState.ACTIVE, limit: int | None = None) -> PlanAccount:
    return PlanAccount(account_id=account_id, state=state, concurrency_limit=limit)


def did(e164: str = DID, *targets: PlanTarget, account_id: int | None = 1, state: DidState = DidState.ACTIVE) -> PlanDid:
    return PlanDid(e164=E164(e164), account_id=account_id, state=state, targets=targets)


def mobile(number: str = MOBILE, position: int = 1, seconds: int = 25) -> PlanTarget:
    return PlanTarget(position=position, kind=TargetKind.MOBILE, address=number, ring_seconds=seconds)


def phone_target(name: str = "desk-1", position: int = 1, seconds: int = 25) -> PlanTarget:
    return PlanTarget(position=position, kind=TargetKind.ENDPOINT, address=name, ring_seconds=seconds)


def phone(
    name: str = "desk-1", *, account_id: int = 1, caller_did: str | None = DID, enabled: bool = True, record: RecordFacts = ACCEPTED, receive_only: bool = False
) -> PlanEndpoint:
    return PlanEndpoint(
        name=name, account_id=account_id, caller_did=E164(caller_did) if caller_did else None, enabled=enabled, record=record, receive_only=receive_only
    )


def trunk(name: str = "trunk-a", **changes: Any) -> PlanTrunk:
    values: dict[str, Any] = {
        "direction": TrunkDirection.BOTH,
        "enabled": True,
        "priority": 1,
        "weight": 1,
        "caller_id_mode": CallerIdMode.DID,
        "number_format": NumberFormat.E164_PLUS,
        "network_number": None,
        "capacity": None,
        "causes": {},
    }
    return PlanTrunk(name=name, **(values | changes))


def inbound(called: str = DID, caller: str = CALLER, *, presentation: str = "allowed_not_screened", diversions: int = 0, diverted_from: str = "") -> CallFacts:
    return CallFacts(Direction.INBOUND, called, caller, presentation, "trunk-a", diversions, diverted_from)


def from_phone(called: str, name: str = "desk-1", *, presentation: str = "allowed_not_screened") -> CallFacts:
    return CallFacts(Direction.OUTBOUND, called, "", presentation, name, 0, "")


def failed(attempt: Attempt, sip_status: int | None = 503, *, dialstatus: str = "CONGESTION", rang: bool = False, cause: int | None = None) -> TriedAttempt:
    """Return the attempt as it comes back when every leg of it failed in the same way."""
    return failed_legs(tuple(leg.leg for leg in attempt.legs), [sip_status] * len(attempt.legs), dialstatus=dialstatus, rang=rang, cause=cause)


def failed_legs(
    legs: tuple[Leg, ...], statuses: Sequence[int | None], *, dialstatus: str = "CONGESTION", rang: bool = False, cause: int | None = None
) -> TriedAttempt:
    results = tuple(LegResult(leg, dialstatus, rang, status, cause) for leg, status in zip(legs, statuses, strict=True))
    return TriedAttempt(legs=legs, dialstatus=dialstatus, rang=rang, results=results)
