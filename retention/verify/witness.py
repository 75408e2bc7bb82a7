"""`ringfence-witness`: the auditor's memory of a log. It keeps the newest checkpoint it accepted and refuses whatever does not go on from it.

A log that was cut, rewritten or shown in two versions cannot pass: the operator holds the key of the log, but not this memory.
Exit codes: 0 accepted, 1 refused, 2 wrong use or a file that cannot be read.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from retention.verify import clock
from retention.verify import main as verifier
from retention.verify.main import FAILED, GOOD, USAGE, Usage, printable
from retention.verify.merkle import extends
from retention.verify.notes import Checkpoint, Key, Malformed, cosign, decode, read_checkpoint
from retention.verify.secret import make_key, read_key

_OLD = re.compile(r"old (0|[1-9][0-9]{0,18})")


class RefusedError(Exception):
    """The checkpoint does not go on from the one that was seen."""


@dataclass(frozen=True)
class Request:
    """A checkpoint, and the proof that it goes on from an older one (the body of C2SP tlog-witness's add-checkpoint)."""

    note: str
    old: int | None = None  # None: a checkpoint without a proof
    proof: tuple[bytes, ...] = ()


def parse_request(text: str) -> Request:
    r"""Return the request that a file holds: `old N`, hashes in base64, an empty line, the note; or the note only.

    Raises:
        Malformed: it is neither.
    """
    if not text.startswith("old "):
        return Request(text)
    head, _, note = text.partition("\n\n")
    lines = head.split("\n")
    match = _OLD.fullmatch(lines[0])
    if match is None or len(lines) > 64:
        raise Malformed("it begins with 'old', a size, and at most 63 hashes")
    proof = tuple(decode(line) for line in lines[1:])
    if any(len(step) != 32 for step in proof):
        raise Malformed("its proof is not of hashes")
    return Request(note, int(match[1]), proof)


def judge(seen: Checkpoint | None, offered: Checkpoint, request: Request) -> str:
    """Return how the offered checkpoint follows the one seen, in a sentence.

    Raises:
        RefusedError: it does not, or nothing shows that it does.
    """
    if seen is None:
        return "first checkpoint of this log: remembered; from now on it must go on from here"
    if offered.origin != seen.origin:
        raise RefusedError(f"this is the log {offered.origin}; the one remembered is {seen.origin}")
    if offered.size < seen.size:
        raise RefusedError(f"ROLLBACK: the log had {seen.size} entries, now {offered.size}")
    if offered.size == seen.size:
        if offered.root != seen.root:
            raise RefusedError(f"FORK: two logs of {seen.size} entries, with different roots")
        return "the same as before"
    if seen.size and request.old != seen.size:
        raise RefusedError(f"there is no proof from {seen.size} entries; ask for one: ringfence audit checkpoint --since-size {seen.size}")
    if not extends(seen.size, offered.size, seen.root, offered.root, request.proof):
        raise RefusedError(f"FORK: the proof does not show that the log of {offered.size} entries begins with the {seen.size} seen before")
    return f"goes on from {seen.size} entries"


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge the checkpoint that the arguments name, remember it when it is good, and return the exit code."""
    parser = argparse.ArgumentParser(prog="ringfence-witness", description="Remember a log's newest checkpoint, and refuse a fork or a rollback.")
    parser.add_argument("offered", type=Path, nargs="?", help="a checkpoint with its proof, or an evidence bundle; left out: print what is remembered")
    parser.add_argument("--state", type=Path, help="file that holds the newest checkpoint accepted; made at first use")
    parser.add_argument("--key", action="append", help="verifier key of the log, or a file with it")
    parser.add_argument("--cosign", type=Path, metavar="FILE", help="cosign what is accepted with the key in this file, and print it")
    parser.add_argument("--new-key", type=Path, metavar="FILE", help="make a cosigner's key in this file (mode 600) and print its verifier key")
    parser.add_argument("--name", help="the cosigner's name, with --new-key")
    parser.add_argument("--json", action="store_true", dest="as_json", help="print JSON")
    options = parser.parse_args(arguments)
    try:
        if options.new_key:
            print(make_key(options.new_key, options.name or ""))
            return GOOD
        if not options.state or not options.key:
            raise Usage("--state and --key are needed")  # noqa: TRY301
        keys = verifier.read_keys(options.key)
        cosigner = read_key(options.cosign) if options.cosign else None
        with _locked(options.state):
            return _run(options.offered, options.state, keys, cosigner, as_json=options.as_json)
    except (Usage, OSError, ValueError) as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return USAGE


def _run(offered: Path | None, state: Path, keys: Sequence[Key], cosigner: tuple[str, Ed25519PrivateKey] | None, *, as_json: bool) -> int:
    seen = read_checkpoint(state.read_text(encoding="utf-8"), keys)[0] if state.exists() else None
    if offered is None:
        _tell(as_json, "remembered" if seen else "nothing is remembered yet", seen, seen)
        return GOOD
    try:
        if offered.is_dir() or offered.read_bytes()[:14] in {b"checkpoints.js", b"manifest.json\0"} or offered.suffix == ".tar":
            request, checkpoint = _from_bundle(offered, keys, seen)
            how = "a bundle in which everything holds" + (f", and which goes on from {seen.size} entries" if seen else "")
        else:
            request = parse_request(offered.read_text(encoding="utf-8"))
            checkpoint = read_checkpoint(request.note, keys)[0]
            how = judge(seen, checkpoint, request)
    except (RefusedError, Malformed, UnicodeDecodeError) as error:
        _tell(as_json, f"REFUSED: {error}", seen, None)
        return FAILED
    _remember(state, request.note)
    _tell(as_json, f"accepted: {how}", seen, checkpoint, cosign(*cosigner, clock.now(), request.note) if cosigner else None)
    return GOOD


def _from_bundle(path: Path, keys: Sequence[Key], seen: Checkpoint | None) -> tuple[Request, Checkpoint]:
    verdict = verifier.check(path, keys, seen)
    if verdict.findings or verdict.head is None:
        raise RefusedError(f"{len(verdict.findings)} thing(s) in the bundle do not hold; the first: {verdict.findings[0]}")
    return Request(verdict.head_note), verdict.head


@contextmanager
def _locked(state: Path) -> Iterator[None]:
    """Let one witness at a time judge: two at once could accept two continuations of one log."""
    with state.with_name(state.name + ".lock").open("w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _remember(state: Path, note: str) -> None:
    """Write the state whole or not at all, and to the disk before anything is cosigned."""
    draft = state.with_name(state.name + ".new")
    with draft.open("w", encoding="utf-8") as file:
        file.write(note)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(state)
    folder = os.open(state.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def _tell(as_json: bool, result: str, seen: Checkpoint | None, now: Checkpoint | None, cosigned: str | None = None) -> None:
    if as_json:
        shown = {"result": result, "seen": _plain(seen), "checkpoint": _plain(now), "cosigned": cosigned}
        print(json.dumps(shown, indent=2))
        return
    if now is not None:
        print(f"{printable(now.origin)}: {now.size} entries, root {now.root.hex()}", file=sys.stderr)
    print(printable(result), file=sys.stderr if cosigned else sys.stdout)
    if cosigned:
        print(cosigned, end="")


def _plain(checkpoint: Checkpoint | None) -> dict[str, object] | None:
    return None if checkpoint is None else {"origin": checkpoint.origin, "size": checkpoint.size, "root": checkpoint.root.hex()}


if __name__ == "__main__":
    sys.exit(main())
