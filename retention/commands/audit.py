"""The group `audit`: the log of acts, its checkpoints, and evidence for others."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import click

from retention import export as evidence
from retention.evidence import write_bundle
from ringfence.audit import log
from ringfence.audit.check import check_log
from ringfence.audit.keys import load_signer, make_key
from ringfence.audit.kinds import KINDS
from ringfence.audit.merkle import Tree
from ringfence.audit.publish import publish
from ringfence.commands.installation import Installation, installed
from ringfence.commands.options import example, json_option
from ringfence.errors import Conflict, Invalid
from ringfence.models import AuditEntry
from ringfence.output import Column, emit, emit_one, note, say
from ringfence.queries import audit as queries

_COLUMNS = (Column("seq", "entry", right=True), Column("at", "at"), Column("kind", "kind"), Column("actor", "actor"), Column("body", "what"))
_SHOWN = 300  # characters of an entry in a table
_DATE = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"])


@click.group()
def audit() -> None:
    """Show the audit log, sign it, check it, and hand out evidence."""


@audit.group()
def key() -> None:
    """Make or show the key that checkpoints are signed with."""


@key.command("new", epilog=example("ringfence audit key new"))
@installed
def key_new(installation: Installation) -> None:
    """Make the log's key in a file of mode 600; prints the verifier key, which auditors need."""
    signer = make_key(installation.settings)
    with installation.changing() as session:
        log.append(session, installation.clock, "audit.key_made", actor="operator", digest=sha256(signer.verifier_key.encode()).hexdigest())
    say(signer.verifier_key)
    note(f"back up {installation.settings.audit_key_path}; give auditors the line above by another way than the bundles")


@key.command("show", epilog=example("ringfence audit key show"))
@json_option
@installed
def key_show(installation: Installation, *, as_json: bool) -> None:
    """Print the verifier key."""
    verifier_key = load_signer(installation.settings).verifier_key
    if as_json:
        emit_one({"verifier_key": verifier_key}, as_json=True)
    else:
        say(verifier_key)


@audit.command(epilog=example("ringfence audit checkpoint", "ringfence audit checkpoint --since-size 4096 --out request.txt   for ringfence-witness"))
@click.option("--since-size", type=click.IntRange(0), help="Add the proof that the log goes on from that many entries.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the checkpoint, with its proof, into this file.")
@json_option
@installed
def checkpoint(installation: Installation, since_size: int | None, out: Path | None, *, as_json: bool) -> None:
    """Sign the log as it is, and publish that under <home>/audit."""
    signer = load_signer(installation.settings)
    with installation.changing() as session:
        made = log.make_checkpoint(session, installation.clock, signer)
        if since_size is not None and since_size > made.size:
            raise Invalid(f"the log has {made.size} entries, fewer than {since_size}", hint="if it once had more, it was cut: run 'ringfence audit verify'")
        proof = [] if since_size is None else Tree(queries.leaf_hashes(session, made.size)).consistency_proof(since_size, made.size)
    publish(made, installation.settings.audit_dir)
    lines = [b64encode(step).decode() for step in proof]
    text = made.note if since_size is None else "\n".join([f"old {since_size}", *lines]) + "\n\n" + made.note
    if out is not None:
        out.write_text(text, encoding="utf-8")
    if as_json:
        emit_one({"size": made.size, "root": made.root.hex(), "note": made.note, "proof": lines}, as_json=True)
    elif out is None:
        click.echo(text, nl=False)
    else:
        say(f"{made.size} entries, root {made.root.hex()}: written to {out}")


@audit.command(epilog=example("ringfence audit verify"))
@json_option
@installed
def verify(installation: Installation, *, as_json: bool) -> None:
    """Check the log in the store: every entry, every checkpoint, and those published before."""
    verifier_key = load_signer(installation.settings).verifier_key
    with installation.reading() as session:
        checked = check_log(session, verifier_key, installation.settings.audit_dir)
    problems = [{"where": problem.where, "what": problem.what} for problem in checked.problems]
    result = {"size": checked.size, "root": checked.root, "checkpoints": checked.checkpoints, "published": checked.published}
    if as_json:
        click.echo(json.dumps({"ok": not problems, **result, "problems": problems}, indent=2))
    else:
        emit_one(result, as_json=False)
        if problems:
            emit(problems, (Column("where", "where"), Column("what", "what is wrong")), as_json=False)
    if problems:
        raise Conflict(f"the audit log does not hold: {len(problems)} problem(s)", hint="keep a copy of the store, and compare it with the auditor's witness")


@audit.command(epilog=example("ringfence audit export evidence-2026", "ringfence audit export evidence.tar --since 2026-10-01"))
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--since", type=_DATE, help="Begin after the last checkpoint before this time (UTC) [default: the whole log].")
@json_option
@installed
def export(installation: Installation, target: Path, since: datetime | None, *, as_json: bool) -> None:
    """Write an evidence bundle into a new folder, or a .tar, for ringfence-verify."""
    signer = load_signer(installation.settings)
    with installation.translated():
        made = evidence.export(
            installation.engine,
            installation.clock,
            signer,
            installation.settings.retention.policy,
            since=since.replace(tzinfo=UTC) if since else None,
            save=lambda files: write_bundle(files, target),
        )
    result = {"bundle": str(target), "origin": signer.name, "first": made.first, "size": made.size, "verifier_key": signer.verifier_key}
    emit_one(result, as_json=as_json)


@audit.command(epilog=example("ringfence audit show", "ringfence audit show 17 --json", "ringfence audit show --kind purge.closed --limit 5"))
@click.argument("seq", type=click.IntRange(0), required=False)
@click.option("--kind", type=click.Choice(sorted(KINDS)), help="Only entries of this kind.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="How many of the newest.")
@json_option
@installed
def show(installation: Installation, seq: int | None, kind: str | None, limit: int, *, as_json: bool) -> None:
    """Show one entry, or the newest ones."""
    with installation.reading() as session:
        if seq is not None:
            emit_one({**_row(queries.get_entry(session, seq), as_json=as_json)}, as_json=as_json)
            return
        found = queries.newest_entries(session, limit, kind=kind)
        rows = [_row(entry, as_json=as_json) for entry in reversed(found)]
    emit(rows, _COLUMNS, as_json=as_json, empty="the audit log is empty")


def _row(entry: AuditEntry, *, as_json: bool) -> Mapping[str, Any]:
    body = json.loads(entry.body) if as_json else _shorten(entry.body)
    return {"seq": entry.seq, "at": entry.at, "kind": entry.kind, "actor": entry.actor, "body": body, "leaf_hash": entry.leaf_hash.hex()}


def _shorten(body: str) -> str:
    """Return what fits into a table."""
    return body if len(body) <= _SHOWN else f"{body[:_SHOWN]}… (--json shows all of it)"
