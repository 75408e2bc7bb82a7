"""A batch's receipt: in the purge's own table and in the audit log, with the same facts, in the transaction that deletes."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from datetime import datetime
from hashlib import sha256
from typing import Any

import msgspec
from sqlalchemy.orm import Session

from retention.purge.planner import Item
from retention.verify.format import Receipt
from ringfence.audit.canonical import moment
from ringfence.audit.log import Draft
from ringfence.queries import runs
from ringfence.queries.gone import Gone
from ringfence.queries.holds import Window


class Stamp(msgspec.Struct, frozen=True):
    """What every receipt of a run says."""

    run: str
    token: int
    key: bytes  # of its commitments
    hold_version: int
    at: datetime


class _Ruled(msgspec.Struct, frozen=True):
    """By which policy, up to when, and in which window rows went; all empty when they went for another reason than age."""

    policy: str | None = None
    policy_version: int | None = None
    policy_digest: str | None = None
    cutoff: datetime | None = None
    lo_at: str = ""
    hi_at: str = ""


def write(session: Session, stamp: Stamp, item: Item, window: Window, gone: Iterable[Gone]) -> list[Draft]:
    """Write the receipts of a window, one a table, and return their audit entries, to be appended at the end of the transaction."""
    ruled = _Ruled(item.policy, item.policy_version, item.policy_digest, item.cutoff.at, moment(window.lo) if window.lo else "", moment(window.hi))
    return _write(session, stamp, item.data_class.value, gone, "window", ruled)


def write_free(session: Session, stamp: Stamp, data_class: str, gone: Gone, reason: str) -> Draft:
    """Write the receipt of rows that went for another reason than age: `erasure`, `correction`, `moved`. `stamp.run` is the request's id."""
    return _write(session, stamp, data_class, [gone], reason, _Ruled())[0]


def commitment(key: bytes, gone: Gone) -> str:
    """Return the keyed hash of the rows' keys: who has the key and the rows can make it again, who has only the hash learns nothing."""
    return hmac.new(key, gone.table.encode() + b"\n" + gone.keys, sha256).hexdigest()


def _write(session: Session, stamp: Stamp, data_class: str, gone: Iterable[Gone], reason: str, ruled: _Ruled) -> list[Draft]:
    made = [_facts(stamp, data_class, part, reason, ruled) for part in gone]
    runs.add_receipts(session, [(stored, part.days) for part, stored, _ in made])
    return [Draft(Receipt.KIND, told, "worker") for _, _, told in made]


def _facts(stamp: Stamp, data_class: str, gone: Gone, reason: str, ruled: _Ruled) -> tuple[Gone, dict[str, Any], dict[str, Any]]:
    """Return what the store and the audit log say of rows that went."""
    count = gone.count
    common = {
        "token": stamp.token,
        "data_class": data_class,
        "rows": count.rows,
        "reason": reason,
        "hold_version": stamp.hold_version,
        "policy": ruled.policy,
        "policy_version": ruled.policy_version,
        "policy_digest": ruled.policy_digest,
        "lo_at": ruled.lo_at,
        "lo_key": "",
        "hi_at": ruled.hi_at,
        "hi_key": "",
        "commitment": commitment(stamp.key, gone),
    }
    stored = {"run_id": stamp.run, "at": stamp.at, "table_name": gone.table, "cutoff_at": ruled.cutoff, "oldest_at": count.oldest, "newest_at": count.newest}
    told = {
        "run": stamp.run,
        "table": gone.table,
        "min_t": moment(count.oldest) if count.oldest else None,
        "max_t": moment(count.newest) if count.newest else None,
        "days": [[day.isoformat(), rows] for day, rows in gone.days],
        "cutoff": moment(ruled.cutoff) if ruled.cutoff else None,
    }
    return gone, {**common, **stored}, {**common, **told}
