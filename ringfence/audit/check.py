"""Checking the live log in the store: every entry against its hash, every hash against the head, every checkpoint against both."""

from __future__ import annotations

import json
from base64 import b64decode
from binascii import Error
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy.orm import Session

from ringfence.audit.canonical import canonical, leaf_text
from ringfence.audit.merkle import Frontier, leaf_hash
from ringfence.models import AuditEntry
from ringfence.queries import audit

_MANY = 100  # findings after which looking for more helps nobody


class Problem(msgspec.Struct, frozen=True):
    """Something wrong, and where."""

    where: str  # 'entry 17', 'checkpoint 42', 'head', a file's name
    what: str


class Checked(msgspec.Struct, frozen=True):
    """What was looked at, and what is wrong."""

    size: int
    root: str
    checkpoints: int
    published: int
    problems: tuple[Problem, ...]


def check_log(session: Session, verifier_key: str, published: Path) -> Checked:
    """Return what is wrong with the log.

    Args:
        session: reads the store.
        verifier_key: the log's, `name+id+base64`.
        published: the folder of published checkpoints. They are outside the database, so a log that was cut there does not agree with them.
    """
    stored = {f"checkpoint {one.size}": one.note for one in audit.list_checkpoints(session)}
    files = {path.name: path.read_text(encoding="utf-8", errors="replace") for path in sorted(published.glob("*.note"))}
    problems: list[Problem] = []
    heads: dict[str, tuple[int, str]] = {}
    for where, note in {**stored, **files}.items():
        try:
            heads[where] = read_note(note, verifier_key)
        except ValueError as error:
            problems.append(Problem(where, str(error)))
    sizes, roots = {size for size, _ in heads.values()}, {}
    tree = Frontier()
    roots[0] = tree.root().hex()
    for entry in audit.stream_entries(session):
        while entry.seq > tree.size and len(problems) < _MANY:
            problems.append(Problem(f"entry {tree.size}", "it is missing"))
            tree.append(b"\x00" * 32)
        problem = _entry_problem(entry)
        if problem and len(problems) < _MANY:
            problems.append(Problem(f"entry {entry.seq}", problem))
        tree.append(entry.leaf_hash)
        if tree.size in sizes:
            roots[tree.size] = tree.root().hex()
    problems += _head_problems(session, tree)
    for where, (size, root) in heads.items():
        if size not in roots:
            problems.append(Problem(where, f"it is over {size} entries, the log has {tree.size}: its tail was cut"))
        elif roots[size] != root:
            problems.append(Problem(where, f"its root is not that of the first {size} entries"))
    return Checked(tree.size, tree.root().hex(), len(stored), len(files), tuple(problems))


def read_note(note: str, verifier_key: str) -> tuple[int, str]:
    """Return the size and the root (hex) of a checkpoint that one key signed.

    Raises:
        ValueError: it is none, or its signature is false.
    """
    text, gap, signature = note.rpartition("\n\n")
    name, _, rest = verifier_key.partition("+")
    key_id, _, encoded = rest.partition("+")
    lines = text.split("\n")
    try:
        public = Ed25519PublicKey.from_public_bytes(b64decode(encoded, validate=True)[1:])
        signed = b64decode(signature.removeprefix(f"— {name} ").removesuffix("\n"), validate=True)
        public.verify(signed[4:], (text + "\n").encode())
        size, root = int(lines[1]), b64decode(lines[2], validate=True).hex()
    except (Error, InvalidSignature, IndexError) as error:
        raise ValueError("it is not a checkpoint signed with the log's key") from error
    if not gap or lines[0] != name or signed[:4].hex() != key_id:
        raise ValueError("it is not a checkpoint of this log")
    return size, root


def _entry_problem(entry: AuditEntry) -> str:
    try:
        body = json.loads(entry.body)
    except ValueError:
        return "its body is not JSON"
    if canonical(body) != entry.body:
        return "its body is not written in the one proper way"
    if leaf_hash(leaf_text(entry.seq, entry.at, entry.kind, entry.actor, body).encode()) != entry.leaf_hash:
        return "it is not the entry that its hash was made of"
    return ""


def _head_problems(session: Session, tree: Frontier) -> list[Problem]:
    try:
        head = audit.read_head(session)
    except ValueError as error:
        return [Problem("head", str(error))]
    if head.size != tree.size:
        return [Problem("head", f"it counts {head.size} entries, {tree.size} are there")]
    return [] if head.roots == tree.roots else [Problem("head", "it is not the head of these entries")]
