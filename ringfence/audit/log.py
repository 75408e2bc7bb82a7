"""Writing the audit log: an entry in the transaction of the act it tells of, and checkpoints over all entries."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from sqlalchemy.orm import Session

from ringfence.audit.canonical import canonical, leaf_text
from ringfence.audit.kinds import check
from ringfence.audit.merkle import leaf_hash
from ringfence.audit.notes import Checkpoint, Signer
from ringfence.audit.shapes import random_id
from ringfence.clock import Clock
from ringfence.errors import Conflict
from ringfence.queries import audit


class Draft(msgspec.Struct, frozen=True):
    """An entry to be written."""

    kind: str
    fields: Mapping[str, Any]
    actor: str = "system"


def append(session: Session, clock: Clock, kind: str, *, actor: str = "system", **fields: Any) -> int:
    """Write an entry and return its sequence number. It exists when, and only when, the session's transaction commits.

    Holds the log's lock until then, so call it at the end of a short transaction: entries are in the order of their commits, without gaps.

    Args:
        session: the session of the act.
        clock: tells when.
        kind: one of `ringfence.audit.kinds.KINDS`.
        actor: `system`, `worker`, `node:<name>`, `operator` or `operator:<random id>`.
        fields: the kind's fields.

    Raises:
        Invalid: the kind does not take these fields, or one could hold personal data.
    """
    return append_all(session, clock, (Draft(kind, fields, actor),))


def append_all(session: Session, clock: Clock, drafts: Iterable[Draft]) -> int:
    """Write entries, in order, and return the sequence number of the first.

    Raises:
        Invalid: as in `append`; then none is written.
    """
    drafts = tuple(drafts)
    for draft in drafts:
        check(draft.kind, draft.actor, draft.fields)
    head = audit.lock_head(session)
    first, at, rows = head.size, clock.now(), []
    for seq, draft in enumerate(drafts, first):
        leaf = leaf_hash(leaf_text(seq, at, draft.kind, draft.actor, draft.fields).encode())
        head.append(leaf)
        rows.append({"seq": seq, "at": at, "kind": draft.kind, "actor": draft.actor, "body": canonical(draft.fields), "leaf_hash": leaf})
    audit.write_entries(session, rows, head)
    return first


def make_checkpoint(session: Session, clock: Clock, signer: Signer) -> Checkpoint:
    """Sign the log as it is, unless that was done already, and return the newest checkpoint.

    Raises:
        Conflict: the log was begun under another origin or key.
    """
    head = audit.lock_head(session)
    newest = audit.find_checkpoint(session)
    if newest is not None and newest.verifier_key != signer.verifier_key:
        raise Conflict("the log's checkpoints are signed with another key", hint="restore that key; a new one would begin another log")
    made = signer.checkpoint(head.size, head.root())
    if newest is None or newest.size != head.size:
        audit.write_checkpoint(session, clock, made, signer.verifier_key)
    return made


def new_id() -> str:
    """Return a random id for a run, a request, a legal hold, an incident."""
    made = secrets.token_hex(16)
    while not random_id(made):
        made = secrets.token_hex(16)
    return made
