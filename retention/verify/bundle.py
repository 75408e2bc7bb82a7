"""A whole bundle: its manifest and signature first, then its parts against each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from retention.verify import calendar, conservation, tree
from retention.verify.format import (
    CHECKPOINTS,
    CONSERVATION,
    ENTRIES,
    HOLDS,
    MANIFEST,
    NAME,
    PARTS,
    POLICIES,
    SIGNATURE,
    VERSION,
    Finding,
    Hold,
    Manifest,
    manifest_statement,
    read_json,
)
from retention.verify.notes import ED25519, Checkpoint, Key, parse_note
from retention.verify.runs import Policies, Runs


@dataclass
class Verdict:
    """What was found, and what the bundle shows."""

    findings: list[Finding] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    head: Checkpoint | None = None
    head_note: str = ""


def verify(files: Mapping[str, bytes], keys: Sequence[Key], earlier: Checkpoint | None = None) -> Verdict:
    """Check a bundle.

    Args:
        files: its files, from `container.read`.
        keys: verifier keys of the log, known beforehand: those in the bundle prove nothing.
        earlier: a checkpoint of this log that was seen before.
    """
    verdict = Verdict()
    manifest = _manifest(files, keys, verdict)
    if manifest is None:
        return verdict
    lines = {name: _lines(name, files.get(name), manifest, verdict) for name in PARTS}
    log = tree.check(manifest, lines[ENTRIES], lines[CHECKPOINTS], keys, earlier)
    verdict.findings += log.findings
    whole = manifest.first == 0
    runs = Runs(_policies(lines[POLICIES], verdict), whole)
    runs.read(log.entries)
    verdict.findings += runs.findings
    _holds(lines[HOLDS], log.entries, verdict, whole=whole)
    forgotten = _forgotten(runs.policies, manifest.made_at)
    verdict.findings += conservation.check(lines[CONSERVATION], log.entries, runs.receipts, forgotten, whole=whole)
    _tell(verdict, manifest, log, runs, lines)
    return verdict


def _manifest(files: Mapping[str, bytes], keys: Sequence[Key], verdict: Verdict) -> Manifest | None:
    missing = sorted({MANIFEST, SIGNATURE, *PARTS} - files.keys())
    verdict.findings += [Finding(name, "it is missing") for name in missing]
    try:
        note = parse_note(files.get(SIGNATURE, b"").decode())
        key = note.signer(key for key in keys if key.type == ED25519)
        if len(note.signatures) != 1:
            verdict.findings.append(Finding(SIGNATURE, "it has more than one signature"))
        if note.text != manifest_statement(sha256(files.get(MANIFEST, b"")).hexdigest()):
            verdict.findings.append(Finding(MANIFEST, f"it is not the manifest that {SIGNATURE} signs"))
    except ValueError as error:
        verdict.findings.append(Finding(SIGNATURE, str(error)))
        key = None
    try:
        manifest = Manifest.read(read_json(files.get(MANIFEST, b"").decode().removesuffix("\n")))
        _demand_manifest(manifest, key)
    except ValueError as error:
        verdict.findings.append(Finding(MANIFEST, str(error)))
        return None
    return manifest


def _demand_manifest(manifest: Manifest, key: Key | None) -> None:
    if (manifest.format, manifest.version) != (NAME, VERSION) or set(manifest.files) != set(PARTS) or not 0 <= manifest.first <= manifest.size:
        raise ValueError(f"it is not a manifest of {NAME} version {VERSION}")
    if not all(isinstance(root, str) for root in manifest.left):
        raise ValueError("left is not a list of hashes")
    calendar.parse_moment(manifest.made_at)
    if key is not None and key.name != manifest.origin:
        raise ValueError("its origin is not the name of the key that signs it")


def _lines(name: str, data: bytes | None, manifest: Manifest, verdict: Verdict) -> list[str]:
    if data is None:
        return []
    text = data.decode("utf-8", "replace")
    lines = text.split("\n")
    if lines.pop():
        verdict.findings.append(Finding(name, "its last line is cut off", len(lines) + 1))
    said = manifest.files[name]
    found = {"bytes": len(data), "lines": len(lines), "sha256": sha256(data).hexdigest()}
    if said != found:
        differs = ", ".join(what for what in found if not isinstance(said, dict) or said.get(what) != found[what])
        verdict.findings.append(Finding(name, f"it is not the file the manifest names: {differs} differ"))
    return lines


def _policies(lines: Sequence[str], verdict: Verdict) -> Policies:
    policies: dict[tuple[str, int], tuple[str, Mapping[str, Any]]] = {}
    for number, line in enumerate(lines, 1):
        try:
            name, version, classes = _policy(read_json(line))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            verdict.findings.append(Finding(POLICIES, f"it is not a policy: {type(error).__name__} {error}", number))
            continue
        if (name, version) in policies:
            verdict.findings.append(Finding(POLICIES, "it is here twice", number))
        policies[name, version] = (sha256(line.encode()).hexdigest(), classes)
    return policies


def _policy(found: Any) -> tuple[str, int, Mapping[str, Any]]:
    """Return a policy's name, version and classes; other fields are for people."""
    for rule in found["classes"].values():
        calendar.parse_period(rule["period"])
        if rule["year_end"] is not None:
            calendar.parse_year_end(rule["year_end"])
    if not isinstance(found["policy"], str) or type(found["version"]) is not int:
        raise ValueError("its name or version is none")
    return found["policy"], found["version"], found["classes"]


def _forgotten(policies: Policies, made_at: str) -> str:
    """Return up to when the policies let the store forget what it sealed; "" = never."""
    at, cutoffs = calendar.parse_moment(made_at), [""]
    for _, classes in policies.values():
        if "proof" in classes:
            with suppress(ValueError, OverflowError):  # a window that reaches back to before all calendars
                cutoffs.append(calendar.cutoff(at, classes["proof"]["period"], classes["proof"]["year_end"]).strftime("%Y-%m-%dT%H:%M:%S.%fZ"))
    return max(cutoffs)


def _holds(lines: Sequence[str], entries: Sequence[tree.Entry], verdict: Verdict, *, whole: bool) -> None:
    """Check that the legal holds shown were placed and released as the log says. Others may exist that must not be shown."""
    events = {(entry.kind, entry.body.get("hold")): entry.body.get("hold_version") for entry in entries if entry.kind.startswith("legal_hold.")}
    for number, line in enumerate(lines, 1):
        try:
            hold = Hold.read(read_json(line))
        except ValueError as error:
            verdict.findings.append(Finding(HOLDS, str(error), number))
            continue
        for kind, version in (("legal_hold.placed", hold.placed_version), ("legal_hold.released", hold.released_version)):
            logged = events.get((kind, hold.hold))
            if logged != version and (whole or logged is not None):
                verdict.findings.append(Finding(HOLDS, f"the log says otherwise of {kind}", number))


def _tell(verdict: Verdict, manifest: Manifest, log: tree.Log, runs: Runs, lines: Mapping[str, list[str]]) -> None:
    verdict.head = log.head
    if log.head is not None:
        verdict.head_note = read_json(lines[CHECKPOINTS][log.checkpoints[-1][0] - 1])["note"]
    verdict.facts = {
        "origin": manifest.origin,
        "made_at": manifest.made_at,
        "first": manifest.first,
        "size": manifest.size,
        "root": log.head.root.hex() if log.head else None,
        "checkpoints": len(log.checkpoints),
        "runs": len(runs.runs),
        "receipts": len(runs.receipts),
        "rows": sum(receipt.rows for receipt in runs.receipts),
        "days": len(lines[CONSERVATION]),
        "policies": len(runs.policies),
        "legal_holds_shown": len(lines[HOLDS]),
    }
    unclosed = sum(not run.closed for run in runs.runs.values())
    if unclosed:
        verdict.remarks.append(f"{unclosed} run(s) began and did not end")
    if manifest.first:
        verdict.remarks.append(f"the bundle begins with entry {manifest.first}: what came before is bound by its hash, not shown")
    if runs.unchecked:
        verdict.remarks.append(f"{runs.unchecked} receipt(s) are of runs that began before the bundle; their windows were not checked")
