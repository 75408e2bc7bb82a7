"""Making an evidence bundle: the log since a checkpoint, and what it is to be held against, in files that `ringfence-verify` reads."""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy.orm import Session

from retention.verify import container
from retention.verify import format as form
from ringfence.audit import log
from ringfence.audit.canonical import canonical, leaf_text, moment
from ringfence.audit.merkle import Tree
from ringfence.audit.notes import Checkpoint, Signer
from ringfence.clock import Clock
from ringfence.errors import Conflict, Invalid
from ringfence.queries import audit


class Evidence(msgspec.Struct, frozen=True):
    """What the log is held against. Read it as of the moment of the bundle's log, so that counts and receipts agree."""

    policies: tuple[Mapping[str, Any], ...] = ()  # each {policy, version, classes: {class: {period, year_end}}, …}; its digest is `policy_digest`
    holds: tuple[form.Hold, ...] = ()  # only what the reader may see
    balances: tuple[form.Balance, ...] = ()  # one a sealed day and class


def policy_digest(document: Mapping[str, Any]) -> str:
    """Return what entries and receipts call a policy's text by: the SHA-256 of its canonical JSON."""
    return sha256(canonical(document).encode()).hexdigest()


def make_bundle(session: Session, clock: Clock, signer: Signer, evidence: Evidence, *, first: int = 0) -> dict[str, bytes]:
    """Return the files of a bundle over entries `first` and later, closed by a checkpoint over all. The log stands still until the transaction ends.

    Raises:
        Invalid: `first` is beyond the log.
        Conflict: stored leaf hashes do not give the log's root; `audit verify` says where.
    """
    return bundle_of(session, clock, signer, log.make_checkpoint(session, clock, signer), evidence, first=first)


def bundle_of(session: Session, clock: Clock, signer: Signer, head: Checkpoint, evidence: Evidence, *, first: int = 0) -> dict[str, bytes]:
    """Return the files of a bundle that ends with a checkpoint that is stored already; only reads.

    Raises:
        Invalid: `first` is beyond the log.
        Conflict: stored leaf hashes do not give the log's root; `audit verify` says where.
    """
    if not 0 <= first <= head.size:
        raise Invalid(f"the log has {head.size} entries, none is {first}", hint="leave --since out, or name an earlier time")
    tree = Tree(audit.leaf_hashes(session, head.size))
    if tree.size != head.size or tree.root() != head.root:
        raise Conflict("the log's entries are not those that its head was made of", hint="run 'ringfence audit verify' to see where")
    entries = (
        canonical(
            {
                "entry": msgspec.json.decode(leaf_text(entry.seq, entry.at, entry.kind, entry.actor, msgspec.json.decode(entry.body))),
                "leaf": entry.leaf_hash.hex(),
            }
        )
        for entry in audit.stream_entries(session, first, head.size)
    )
    checkpoints = (
        canonical({"note": stored.note, "proof": [b64encode(step).decode() for step in tree.consistency_proof(stored.size, head.size)]})
        for stored in audit.list_checkpoints(session, first)
    )
    files = {
        form.ENTRIES: _lines(entries),
        form.CHECKPOINTS: _lines(checkpoints),
        form.POLICIES: _lines(canonical(document) for document in evidence.policies),
        form.HOLDS: _lines(canonical(asdict(hold)) for hold in evidence.holds),
        form.CONSERVATION: _lines(canonical(asdict(balance)) for balance in evidence.balances),
    }
    manifest = form.Manifest(
        format=form.NAME,
        version=form.VERSION,
        origin=signer.name,
        made_at=moment(clock.now()),
        first=first,
        size=head.size,
        left=[root.hex() for root in tree.frontier(first).roots],
        files={name: {"bytes": len(data), "lines": data.count(b"\n"), "sha256": sha256(data).hexdigest()} for name, data in files.items()},
    )
    files[form.MANIFEST] = (canonical(manifest.fields()) + "\n").encode()
    files[form.SIGNATURE] = signer.sign(form.manifest_statement(sha256(files[form.MANIFEST]).hexdigest())).encode()
    return files


def write_bundle(files: Mapping[str, bytes], path: Path) -> None:
    """Write a bundle into a new folder, or into a new file when the name ends with `.tar`.

    Raises:
        Conflict: there is something of that name already.
    """
    try:
        if path.suffix == ".tar":
            _write(path, container.pack(files))
            return
        path.mkdir(mode=0o750, parents=True)
    except FileExistsError as error:
        raise Conflict(f"{path} is there already", hint="name a new folder or .tar file") from error
    for name, data in files.items():
        _write(path / name, data)


def _write(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def _lines(texts: Iterable[str]) -> bytes:
    return "".join(f"{text}\n" for text in texts).encode("ascii")
