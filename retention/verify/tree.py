"""The entries and the checkpoints: every leaf worked out anew, every root, every proof."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from retention.verify import notes
from retention.verify.format import CHECKPOINTS, ENTRIES, MANIFEST, Finding, Manifest, canonical, read_json
from retention.verify.merkle import Stack, extends, leaf
from retention.verify.notes import Checkpoint, Key, Malformed

_ENTRY = {"actor", "at", "body", "kind", "seq"}


@dataclass(frozen=True)
class Entry:
    """An audit entry."""

    seq: int
    at: str
    kind: str
    body: dict[str, Any]
    line: int


@dataclass
class Log:
    """What a bundle shows of the log, and what is wrong with it."""

    entries: list[Entry] = field(default_factory=list)
    checkpoints: list[tuple[int, Checkpoint]] = field(default_factory=list)  # with their lines
    roots: dict[int, bytes] = field(default_factory=dict)  # size -> root worked out from the entries
    findings: list[Finding] = field(default_factory=list)

    @property
    def head(self) -> Checkpoint | None:
        """The newest checkpoint."""
        return self.checkpoints[-1][1] if self.checkpoints else None


def check(manifest: Manifest, entries: Sequence[str], checkpoints: Sequence[str], keys: Sequence[Key], earlier: Checkpoint | None) -> Log:
    """Return the log of a bundle with every finding about it.

    Args:
        manifest: of the bundle.
        entries: lines of entries.jsonl.
        checkpoints: lines of checkpoints.jsonl.
        keys: verifier keys of the log.
        earlier: a checkpoint that the reader saw before, if any.
    """
    log = Log()
    proofs = _read_checkpoints(log, manifest, checkpoints, keys)
    sizes = {checkpoint.size for _, checkpoint in log.checkpoints} | ({earlier.size} if earlier else set())
    _read_entries(log, manifest, entries, sizes)
    head = log.head
    if head is None:
        log.findings.append(Finding(CHECKPOINTS, "there is no good checkpoint, so nothing says that the log is whole"))
        return log
    if head.size != manifest.size:
        log.findings.append(Finding(CHECKPOINTS, f"the newest checkpoint has {head.size} entries, the bundle says {manifest.size}"))
    for line, checkpoint in log.checkpoints:
        worked_out = log.roots.get(checkpoint.size)
        if worked_out not in {None, checkpoint.root}:
            log.findings.append(Finding(CHECKPOINTS, f"the root over the first {checkpoint.size} entries is not that of the entries shown", line))
        if not extends(checkpoint.size, head.size, checkpoint.root, head.root, proofs[line]):
            log.findings.append(Finding(CHECKPOINTS, f"no proof that the log of {head.size} entries begins with that of {checkpoint.size}", line))
    if head.size not in log.roots:
        log.findings.append(Finding(ENTRIES, f"the entries do not reach the newest checkpoint of {head.size}"))
    if earlier is not None:
        _compare(log, head, earlier)
    return log


def _read_checkpoints(log: Log, manifest: Manifest, lines: Sequence[str], keys: Sequence[Key]) -> dict[int, list[bytes]]:
    proofs = {}
    for number, line in enumerate(lines, 1):
        try:
            found = read_json(line)
            if not isinstance(found, dict) or found.keys() != {"note", "proof"} or not isinstance(found["proof"], list):
                raise Malformed("its fields are not those of a checkpoint")
            checkpoint, _ = notes.read_checkpoint(str(found["note"]), keys)
            proof = [notes.decode(str(step)) for step in found["proof"]]
        except ValueError as error:
            log.findings.append(Finding(CHECKPOINTS, str(error), number))
            continue
        if checkpoint.origin != manifest.origin:
            log.findings.append(Finding(CHECKPOINTS, "it is a checkpoint of another log", number))
        elif log.head is not None and log.head.size >= checkpoint.size:
            log.findings.append(Finding(CHECKPOINTS, "checkpoints are not in the order of their sizes", number))
        else:
            log.checkpoints.append((number, checkpoint))
            proofs[number] = proof
    return proofs


def _read_entries(log: Log, manifest: Manifest, lines: Sequence[str], sizes: set[int]) -> None:
    try:
        stack = Stack(manifest.first, [bytes.fromhex(root) for root in manifest.left])
    except ValueError as error:
        log.findings.append(Finding(MANIFEST, f"first and left: {error}"))
        return
    if manifest.first + len(lines) != manifest.size:
        log.findings.append(Finding(ENTRIES, f"{manifest.size - manifest.first} entries belong here, {len(lines)} are here"))
    if stack.size in sizes:
        log.roots[stack.size] = stack.root()
    for number, line in enumerate(lines, 1):
        seq = manifest.first + number - 1
        try:
            entry, said = _entry(line, seq)
        except ValueError as error:
            log.findings.append(Finding(ENTRIES, str(error), number, seq))
            return
        hashed = leaf(canonical(entry).encode())
        if hashed.hex() != said:
            log.findings.append(Finding(ENTRIES, "the entry is not the one its hash was made of", number, seq))
        stack.push(hashed)
        log.entries.append(Entry(seq, entry["at"], entry["kind"], entry["body"], number))
        if stack.size in sizes:
            log.roots[stack.size] = stack.root()


def _entry(line: str, seq: int) -> tuple[dict[str, Any], str]:
    """Return the entry of a line, and the hash it says it has."""
    found = read_json(line)
    if not isinstance(found, dict) or found.keys() != {"entry", "leaf"}:
        raise ValueError("its fields are not 'entry' and 'leaf'")
    entry = found["entry"]
    if not isinstance(entry, dict) or entry.keys() != _ENTRY or not isinstance(entry["body"], dict):
        raise ValueError("its fields are not those of an entry")
    if not all(isinstance(entry[name], str) for name in ("actor", "at", "kind")) or type(entry["seq"]) is not int:
        raise ValueError("its fields have types they cannot have")
    if entry["seq"] != seq:
        raise ValueError(f"entry {seq} belongs here, entry {entry['seq']} is here: entries were dropped, added or moved")
    return entry, found["leaf"]


def _compare(log: Log, head: Checkpoint, earlier: Checkpoint) -> None:
    """Hold the log against a checkpoint that was seen before."""
    if earlier.origin != head.origin:
        log.findings.append(Finding(CHECKPOINTS, "the checkpoint seen earlier is of another log"))
        return
    if earlier.size > head.size:
        log.findings.append(Finding(CHECKPOINTS, f"the log had {earlier.size} entries when it was seen earlier, now {head.size}: its tail was cut"))
        return
    known = [checkpoint.root for _, checkpoint in log.checkpoints if checkpoint.size == earlier.size]
    root = log.roots.get(earlier.size) or (known[0] if known else None)
    if root is None:
        log.findings.append(Finding(CHECKPOINTS, f"nothing here links to the checkpoint of {earlier.size} entries seen earlier; ask for a bundle since then"))
    elif root != earlier.root:
        log.findings.append(Finding(CHECKPOINTS, f"the first {earlier.size} entries are not those seen earlier: the log was forked"))
