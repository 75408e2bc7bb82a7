"""Exporting evidence from the live store: the log, and what it is held against, of one moment. Nobody waits for it, however large the store is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from hashlib import sha256
from typing import Any

import msgspec
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from retention import holds
from retention.evidence import Evidence, bundle_of
from retention.purge import conservation
from retention.purge.governing import governing
from retention.verify import format as form
from ringfence.audit import log
from ringfence.audit.notes import Signer
from ringfence.clock import Clock
from ringfence.errors import Unavailable
from ringfence.queries import audit, policies
from ringfence.queries import conservation as counts
from ringfence.queries.conservation import begin_alone, begin_snapshot
from ringfence.session import make_sessions

_TRIES = 20


class Exported(msgspec.Struct, frozen=True):
    """A bundle."""

    files: dict[str, bytes]
    first: int
    size: int


def export(
    engine: Engine, clock: Clock, signer: Signer, default: str, *, since: datetime | None = None, save: Callable[[dict[str, bytes]], None] = lambda _files: None
) -> Exported:
    """Make a bundle of the store as it is, hand its files to `save`, and write into the audit log that evidence was handed out.

    Args:
        engine: the store.
        clock: the clock.
        signer: the log's key.
        default: the key of the operator's policy.
        since: begin after the last checkpoint before this moment; None = the whole log.
        save: writes the files; when it raises, nothing was handed out.

    Raises:
        Conflict: stored leaf hashes do not give the log's root, or the log was begun under another key.
        Misconfigured: an account is under a policy that nobody knows.
        Unavailable: others wrote into the log at every try.
    """
    sessions = make_sessions(engine)
    with sessions() as session:
        start = audit.find_checkpoint(session, until=since) if since else None
    first = start.size if start else 0
    for _ in range(_TRIES):
        with sessions.begin() as session:
            begin_alone(session)
            conservation.tell_late(session, clock)
            head = log.make_checkpoint(session, clock, signer)
        with sessions() as session:
            begin_snapshot(session)
            if audit.read_head(session).size != head.size or counts.untold(session, lock=False):
                continue  # somebody wrote between the two transactions: this moment is not the checkpoint's
            made = Exported(bundle_of(session, clock, signer, head, gather(session, clock, default), first=first), first, head.size)
        with sessions.begin() as session:
            begin_alone(session)
            digest = sha256(made.files[form.MANIFEST]).hexdigest()
            log.append(session, clock, "audit.exported", actor="operator", digest=digest, first=made.first, size=made.size)
            save(made.files)
        return made
    raise Unavailable("others wrote into the log at every try", hint="run it again")


def gather(session: Session, clock: Clock, default: str) -> Evidence:
    """Return what the store says besides the log: every policy version that was ever in force, the holds that anybody may see, the balances.

    The transaction sees the store as of one moment, at which the log tells of everything that came late.
    """
    documents: dict[tuple[str, int], Any] = {(row.policy, row.version): row.document for row in policies.list_adopted(session)}
    for policy in governing(session, default, clock.now()).all:
        documents.setdefault((policy.key, policy.version), policy.document())
    return Evidence(
        policies=tuple(documents[name] for name in sorted(documents)),
        holds=holds.evidence(session),
        balances=tuple(conservation.balances(session)),
    )
