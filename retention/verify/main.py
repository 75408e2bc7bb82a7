"""`ringfence-verify`: check an evidence bundle without the product, its database, or trust in whoever made it.

Exit codes: 0 everything holds, 1 something does not, 2 wrong use or a file that cannot be read.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from retention.verify import container
from retention.verify.bundle import Verdict, verify
from retention.verify.format import Finding
from retention.verify.notes import ED25519, Checkpoint, Key, Malformed, parse_key, read_checkpoint

GOOD, FAILED, USAGE = 0, 1, 2
_SHOWN = 50  # findings printed for people


class Usage(Exception):
    """The program was called in a way that cannot work."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the bundle that the arguments name, print the verdict, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="ringfence-verify",
        description="Check an evidence bundle: signatures, tree, receipts, cutoffs, legal holds, conservation.",
        epilog="Get the key from the operator once, by another way than the bundle; write down the checkpoint after each check, or run ringfence-witness.",
    )
    parser.add_argument("bundle", type=Path, help="folder or .tar")
    parser.add_argument("--key", action="append", required=True, help="verifier key of the log (name+id+base64), or a file with it; may be repeated")
    parser.add_argument("--last", type=Path, metavar="FILE", help="a checkpoint seen before: the log must go on from it")
    parser.add_argument("--json", action="store_true", dest="as_json", help="print JSON")
    options = parser.parse_args(arguments)
    try:
        keys = read_keys(options.key)
        earlier = read_earlier(options.last, keys) if options.last else None
        verdict = check(options.bundle, keys, earlier)
    except Usage as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return USAGE
    _print_json(verdict) if options.as_json else _print(verdict)
    return FAILED if verdict.findings else GOOD


def check(path: Path, keys: Sequence[Key], earlier: Checkpoint | None) -> Verdict:
    """Return the verdict over the bundle at `path`.

    Raises:
        Usage: there is nothing there, or it cannot be read.
    """
    try:
        files = container.read(path)
    except container.Unreadable as error:
        return Verdict([Finding(error.file, error.reason)])
    except OSError as error:
        raise Usage(f"cannot read {path}: {error.strerror}") from error
    return verify(files, keys, earlier)


def read_keys(given: Sequence[str]) -> list[Key]:
    """Return the verifier keys that are given as texts or as names of files.

    Raises:
        Usage: one is neither, or none is the key of a log.
    """
    keys = []
    for text in given:
        try:
            keys.append(parse_key(text if "+" in text and not Path(text).is_file() else Path(text).read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise Usage(f"--key {text}: {error}") from error
    if all(key.type != ED25519 for key in keys):
        raise Usage("none of the keys is that of a log")
    return keys


def read_earlier(path: Path, keys: Sequence[Key]) -> Checkpoint:
    """Return the checkpoint in a file.

    Raises:
        Usage: it cannot be read, or is not one of this log.
    """
    try:
        return read_checkpoint(path.read_text(encoding="utf-8"), keys)[0]
    except (OSError, UnicodeDecodeError, Malformed) as error:
        raise Usage(f"{path}: {error}") from error


def printable(text: str) -> str:
    """Return a text with every character that does not print shown as its code."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def _print(verdict: Verdict) -> None:
    for finding in verdict.findings[:_SHOWN]:
        print(f"FAILED  {printable(str(finding))}")
    if len(verdict.findings) > _SHOWN:
        print(f"FAILED  … and {len(verdict.findings) - _SHOWN} more; --json prints them all")
    for name, value in verdict.facts.items():
        print(f"{name.replace('_', ' '):18}{printable(str(value))}")
    for remark in verdict.remarks:
        print(f"note: {remark}")
    print("NOT PROVEN: do not rely on this bundle" if verdict.findings else "everything in this bundle holds")


def _print_json(verdict: Verdict) -> None:
    shown = {"ok": not verdict.findings, "findings": [asdict(finding) for finding in verdict.findings], **verdict.facts, "remarks": verdict.remarks}
    print(json.dumps(shown, indent=2))


if __name__ == "__main__":
    sys.exit(main())
