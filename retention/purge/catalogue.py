"""Which rows of which table end with which class, and what in a row says when each start event happened. A test holds it against the data map."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from retention.classes import StartEvent
from ringfence.models.base import DataClass
from ringfence.queries.due import CLOSED, Needed, Source

_E = StartEvent


class Kept(msgspec.Struct, frozen=True):
    """Rows of one table that end by age."""

    source: Source
    events: Mapping[StartEvent, str]  # the column that says when it happened, or CLOSED


def _plain(table: str, time: str, key: tuple[str, ...], *events: StartEvent, **more: Any) -> Kept:
    return Kept(Source(table, time, key, **more), dict.fromkeys(events, time))


_CALL = Source("call", "started_at", ("call_id",), "account_id", ("did", "caller", "called", "forwarded_to"), legs=True)
_LINE = Source("invoice_line", "started_at", ("id",), "account_id", ("did",))
_HOLD = Source("legal_hold", "released_at", ("id",), hidden="secret")
_REQUEST = Source("emergency_submission", "finished_at", ("id",), "account_id", ("e164",))
_OF_ACCOUNT = ("did.account_id", "did_ownership.account_id", "endpoint.account_id")
_ACCOUNT = Source("account", CLOSED, ("id",), "id", unless=_OF_ACCOUNT)
# An account's own policy governs what the account leaves behind, so it goes after all of that: without it the operator's default would take over.
_LEFT = (
    "account.id",
    *_OF_ACCOUNT,
    "call.account_id",
    "invoice_line.account_id",
    "emergency_address.account_id",
    "emergency_call.account_id",
    "emergency_submission.account_id",
    "registration.account_id",
)
_POLICY = Source("account_policy", "since", ("account_id",), "account_id", unless=_LEFT)

CATALOGUE: Mapping[DataClass, tuple[Kept, ...]] = MappingProxyType(
    {
        DataClass.CALL_LOG: (Kept(_CALL, {_E.CALL_STARTED: "started_at", _E.CALL_ENDED: "ended_at", _E.RECORDED: "ended_at"}),),
        DataClass.BILLING: (
            Kept(_LINE, {_E.BILLED: "started_at", _E.FINANCIAL_YEAR_END: "started_at", _E.CALL_STARTED: "started_at", _E.ACCOUNT_CLOSED: CLOSED}),
        ),
        DataClass.NUMBERING: (_plain("did_ownership", "until", ("id",), _E.NUMBER_RELEASED, account="account_id", numbers=("e164",)),),
        DataClass.ACCOUNT: (
            Kept(Source("endpoint", CLOSED, ("name",), "account_id", ("caller_did", "emergency_did")), {_E.ACCOUNT_CLOSED: CLOSED}),
            Kept(_ACCOUNT, {_E.ACCOUNT_CLOSED: CLOSED}),
            Kept(_POLICY, {_E.ACCOUNT_CLOSED: "since"}),
        ),
        DataClass.EMERGENCY_ADDRESS: (
            Kept(_REQUEST, {_E.SUPERSEDED: "finished_at"}),
            _plain("emergency_address", "superseded_at", ("id",), _E.SUPERSEDED, account="account_id", numbers=("e164",)),
        ),
        DataClass.EMERGENCY_CALL: (_plain("emergency_call", "started_at", ("call_id",), _E.CALL_STARTED, account="account_id", numbers=("presented",)),),
        DataClass.EMERGENCY_TEST: (_plain("emergency_test", "at", ("id",), _E.RECORDED),),
        DataClass.REGISTRATION: (_plain("registration", "registered_at", ("endpoint", "node"), _E.RECORDED, account="account_id"),),
        DataClass.PLAN_CHANGE: (_plain("plan_change", "changed_at", ("version", "kind", "key"), _E.RECORDED, numbers=("key",)),),
        DataClass.LEGAL_HOLD: (Kept(_HOLD, {_E.CASE_CLOSED: "released_at"}),),
        DataClass.INCIDENT: (_plain("incident", "closed_at", ("id",), _E.CASE_CLOSED),),
        DataClass.PROOF: (
            # A sealed day outlives its rows, and their receipts outlive it: else what is there could not be accounted for.
            _plain("sealed_day", "sealed_at", ("data_class", "day"), _E.RECORDED, needed=Needed.UNTIL_RECEIPTED),
            _plain("purge_receipt_day", "at", ("receipt_id", "day"), _E.RECORDED, needed=Needed.WHILE_SEALED),
            Kept(Source("purge_receipt", "at", ("id",), unless=("purge_receipt_day.receipt_id",)), {_E.RECORDED: "at"}),
            _plain("purge_run_class", "started_at", ("run_id", "data_class", "policy"), _E.RECORDED),
            _plain("purge_run", "started_at", ("id",), _E.RECORDED),
            _plain("reconciled_day", "compared_at", ("node", "day", "outbound"), _E.RECORDED),
            _plain("file_tombstone", "removed_at", ("id",), _E.RECORDED),
        ),
    }
)
# Tables of a class with an end whose rows do not end by age, and why.
OTHERWISE: Mapping[str, str] = MappingProxyType(
    {
        "leg": "goes with its call",
        "did": "the operator's own stock of numbers; whose it was is in did_ownership",
        "target": "goes when its number is released or its account is closed",
        "emergency_way": "one row a node: what a call to 999 goes through there now",
        "held_row": "goes when its hold is released",
        "policy_version": "the policies in force and before: what receipts are checked against",
        "audit_entry": "append-only; a prefix is cut only after an export that was verified",
        "audit_head": "one row, no time",
        "audit_checkpoint": "append-only, as the entries",
    }
)
# Classes whose rows are counted when their day is over: the tables, and the column that says the day.
COUNTED: Mapping[DataClass, tuple[tuple[str, str], ...]] = MappingProxyType(
    {
        DataClass.CALL_LOG: (("call", "started_at"), ("leg", "started_at")),
        DataClass.BILLING: (("invoice_line", "started_at"),),
    }
)
