"""Exporting evidence from the live store: the log, and what it is held against, of one moment."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from hashlib import sha256
from typing import Any

import msgspec
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from retention import holds
from retention.evidence import Evidence, make_bundle
from retention.purge import conservation
from retention.purge.governing import document, governing
from retention.verify import format as form
from ringfence.audit import log
from ringfence.audit.notes import Signer
from ringfence.clock import Clock
from ringfence.errors import Unavailable
from ringfence.queries import audit, policies
from ringfence.session import make_sessions

_TRIES = 5
_CLASH = {"40001", "40P01"}  # another change came between, deadlock: PostgreSQL only


class Exported(msgspec.Struct, frozen=True):
    """A bundle."""

    files: dict[str, bytes]
    first: int
    size: int


def export(
    engine: Engine, clock: Clock, signer: Signer, default: str, *, since: datetime | None = None, save: Callable[[dict[str, bytes]], None] = lambda _files: None
) -> Exported:
    """Make a bundle of the store as it is, hand its files to `save`, and write into the audit log that evidence was handed out, or do nothing at all.

    Args:
        engine: the store.
        clock: the clock.
        signer: the log's key.
        default: the key of the operator's policy.
        since: begin after the last checkpoint before this moment; None = the whole log.
        save: writes the files; what it raises undoes everything.

    Raises:
        Conflict: stored leaf hashes do not give the log's root, or the log was begun under another key.
        Misconfigured: an account is under a policy that nobody knows.
        Unavailable: others kept changing the log.
    """
    sessions = make_sessions(engine)
    for _ in range(_TRIES):
        try:
            with sessions.begin() as session:
                audit.begin_still(session)
                made = _export(session, clock, signer, default, since)
                save(made.files)
                digest = sha256(made.files[form.MANIFEST]).hexdigest()
                log.append(session, clock, "audit.exported", actor="operator", digest=digest, first=made.first, size=made.size)
                return made
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) not in _CLASH:
                raise
    raise Unavailable("others kept changing what is exported", hint="run it again")


def gather(session: Session, clock: Clock, default: str) -> Evidence:
    """Return what the store says besides the log: every policy version that was ever in force, the holds that anybody may see, the balances.

    The transaction sees the store as of one moment; see `audit.begin_still`.
    """
    conservation.tell_late(session, clock)
    documents: dict[tuple[str, int], Any] = {(row.policy, row.version): row.document for row in policies.list_adopted(session)}
    for policy in governing(session, default, clock.now()).all:
        documents.setdefault((policy.key, policy.version), document(policy))
    return Evidence(
        policies=tuple(documents[name] for name in sorted(documents)),
        holds=holds.evidence(session),
        balances=tuple(conservation.balances(session)),
    )


def _export(session: Session, clock: Clock, signer: Signer, default: str, since: datetime | None) -> Exported:
    evidence = gather(session, clock, default)
    start = audit.find_checkpoint(session, until=since) if since else None
    first = start.size if start else 0
    files = make_bundle(session, clock, signer, evidence, first=first)
    return Exported(files, first, json.loads(files[form.MANIFEST])["size"])
