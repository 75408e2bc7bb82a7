"""The kinds of audit entries and the fields of each: an allow-list. What is not in here cannot be written.

The verifier knows the same kinds (`retention.verify.format`); a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ringfence.audit import shapes
from ringfence.audit.shapes import Shape
from ringfence.errors import Invalid

REASONS = ("window", "erasure", "correction", "moved")
OUTCOMES = ("done", "nothing_due", "contended", "held", "failed")

PURPOSES = ("emergency_services", "customer", "correction", "test", "legal_request")  # of looking an address up

_CUTOFF: dict[str, Shape] = {
    "data_class": shapes.word,
    "table": shapes.word,
    "policy": shapes.word,
    "policy_version": shapes.count,
    "policy_digest": shapes.digest,
    "cutoff": shapes.moment,
}
_FIELDS: dict[str, Shape] = {
    "after": shapes.word,
    "as_of": shapes.moment,
    "before": shapes.word,
    "cause": shapes.word,
    "commitment": shapes.digest,
    "cutoff": shapes.optional(shapes.moment),
    "cutoffs": shapes.rows(_CUTOFF),
    "data_class": shapes.word,
    "day": shapes.day,
    "days": shapes.pairs(shapes.day, shapes.count),
    "digest": shapes.digest,
    "effective_at": shapes.moment,
    "epoch": shapes.count,
    "files": shapes.count,
    "first": shapes.count,
    "hi_at": shapes.bound,
    "hi_key": shapes.key,
    "hold": shapes.random_id,
    "hold_version": shapes.count,
    "how": shapes.word,
    "incident": shapes.random_id,
    "kib": shapes.count,
    "lo_at": shapes.bound,
    "lo_key": shapes.key,
    "max_t": shapes.optional(shapes.moment),
    "min_t": shapes.optional(shapes.moment),
    "ms": shapes.count,
    "outcome": shapes.word,
    "outcomes": shapes.pairs(shapes.word, shapes.choice(*OUTCOMES)),
    "policy": shapes.optional(shapes.word),
    "policy_digest": shapes.optional(shapes.digest),
    "policy_version": shapes.optional(shapes.count),
    "purpose": shapes.choice(*PURPOSES),
    "reason": shapes.choice(*REASONS),
    "receipts": shapes.count,
    "record": shapes.optional(shapes.random_id),
    "request": shapes.random_id,
    "right": shapes.word,
    "rows": shapes.count,
    "run": shapes.random_id,
    "size": shapes.count,
    "table": shapes.word,
    "test": shapes.random_id,
    "token": shapes.count,
    "version": shapes.count,
}
_KINDS: dict[str, str] = {
    "audit.exported": "digest first size",
    "audit.key_made": "digest",
    "emergency.changed": "record version before after",
    "emergency.confirmed": "record",
    "emergency.exported": "rows",
    "emergency.looked_up": "record purpose ms",
    "emergency.tested": "test how outcome",
    "file.removed": "run data_class files kib",
    "incident.closed": "incident outcome",
    "incident.opened": "incident cause",
    "intake.late": "data_class day rows",
    "intake.sealed": "data_class day rows",
    "legal_hold.placed": "hold hold_version",
    "legal_hold.released": "hold hold_version",
    "legal_hold.reviewed": "hold",
    "legal_hold.version": "hold_version",
    "policy.adopted": "policy policy_version policy_digest effective_at",
    "policy.announced": "policy policy_version policy_digest",
    "policy.approved": "policy policy_version policy_digest",
    "policy.assigned": "policy",
    "policy.proposed": "policy policy_version policy_digest",
    "purge.closed": "run token receipts rows outcomes",
    "purge.key_destroyed": "run",
    "purge.receipt": (
        "run token data_class table lo_at lo_key hi_at hi_key rows min_t max_t days cutoff policy policy_version policy_digest hold_version reason commitment"
    ),
    "purge.started": "run token as_of hold_version cutoffs",
    "purge.stopped": "run token cause",
    "report.issued": "digest",
    "restore.replayed": "epoch rows",
    "rights.closed": "request right outcome",
    "rights.received": "request right",
}
KINDS: dict[str, frozenset[str]] = {kind: frozenset(fields.split()) for kind, fields in _KINDS.items()}


def check(kind: str, actor: str, fields: Mapping[str, Any]) -> None:
    """Return when an entry may be written.

    Raises:
        Invalid: the kind is unknown, a field is missing or not one of the kind's, or its value has not the field's shape. The value is not repeated.
    """
    if kind not in KINDS:
        raise Invalid(f"{kind!r} is not a kind of audit entry", hint="add it to ringfence/audit/kinds.py, with its fields")
    if not shapes.actor(actor):
        raise Invalid(f"the actor of {kind} is not a role, a node or a random id", hint="names and numbers of people never enter the audit log")
    missing, unknown = sorted(KINDS[kind] - fields.keys()), sorted(fields.keys() - KINDS[kind])
    if missing or unknown:
        raise Invalid(f"{kind} lacks {missing} and has {unknown} too many")
    for field, value in fields.items():
        if not _FIELDS[field](value):
            raise Invalid(f"{field} of {kind} has not the shape it must have", hint="names and numbers of people never enter the audit log")
