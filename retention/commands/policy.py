"""The group `policy`: windows, and how they change: proposed, approved by a second operator, announced, in force."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import click
from sqlalchemy.orm import Session

from retention.commands.preview import show_shifts
from retention.policies import acts
from retention.policies.load import load, shipped, shipped_text
from retention.policies.model import Policy
from retention.purge.governing import governing, in_force, read_version
from retention.purge.preview import Preview
from retention.purge.preview import preview as previewed
from ringfence.commands.installation import Installation, installed
from ringfence.commands.options import example, json_option, operator_option
from ringfence.errors import Misconfigured, NotFound
from ringfence.output import Column, emit, emit_one, note, say, warn
from ringfence.queries import policies as stored
from ringfence.queries.conservation import begin_alone

_LIST = (
    Column("policy", "policy"),
    Column("version", "version", right=True),
    Column("name", "name"),
    Column("state", "state"),
    Column("effective", "effective"),
    Column("governs", "governs"),
    Column("proposed_by", "proposed by"),
    Column("approved_by", "approved by"),
)
_RULES = (
    Column("data_class", "class"),
    Column("window", "kept"),
    Column("from", "from"),
    Column("minimum", "at least"),
    Column("action", "then"),
    Column("legal", "why"),
)
_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group()
def policy() -> None:
    """See the windows, and change them: with a preview, a second operator's approval, and notice to customers."""


@policy.command("list", epilog=example("ringfence policy list", "ringfence policy list --json"))
@json_option
@installed
def list_(installation: Installation, *, as_json: bool) -> None:
    """List the policies: those that come with the product, and versions that were proposed."""
    now, default = installation.clock.now(), installation.settings.retention.policy
    with installation.reading() as session:
        accounts = stored.count_accounts(session)
        holding = _holding(session, default, now)
        rows = [_listed(each, "ships with the product") for each in shipped().values()]
        for row in stored.list_versions(session):
            listed = {"policy": row.policy, "version": row.version, "name": "", "effective": row.effective, "sha256": row.sha256}
            who = {"proposed_by": row.proposed_by, "approved_by": row.approved_by or None, "announced_at": row.announced_at}
            rows.append({**listed, "state": acts.weighed(session, row, installation.clock), **who})
    for each in rows:
        used = (each["policy"], each["version"]) in holding
        count = accounts.get(each["policy"], 0)
        governed = [*(["every other account"] if each["policy"] == default else []), *([f"{count} account(s)"] if count else [])]
        each["governs"] = governed if used else []
    emit(sorted(rows, key=lambda each: (each["policy"], each["version"])), _LIST, as_json=as_json)


@policy.command(epilog=example("ringfence policy show voipfone", "ringfence policy show recommended --text > mine.toml"))
@click.argument("key", metavar="POLICY")
@click.option("--version", type=click.IntRange(1), help="This version [default: the newest in force].")
@click.option("--text", "as_text", is_flag=True, help="Print the file, byte for byte.")
@json_option
@installed
def show(installation: Installation, key: str, version: int | None, *, as_text: bool, as_json: bool) -> None:
    """Show what a policy says, class by class."""
    with installation.reading() as session:
        known = [each for each in (*shipped().values(), *in_force(session, installation.clock.now())) if each.key == key]
        row = stored.find_version(session, key, version) if version is not None else None
        wanted = read_version(row) if row is not None and row.text else None
        wanted = wanted or max((each for each in known if version in {None, each.version}), key=lambda each: each.version, default=None)
        if wanted is None:
            raise NotFound(f"there is no policy {key!r}" + (f" version {version}" if version else ""), hint="'ringfence policy list' shows them")
        text = _text(session, wanted)
    if as_text:
        click.echo(text, nl=False)
        return
    head = {"policy": wanted.key, "name": wanted.name, "version": wanted.version, "effective": wanted.effective, "notice": str(wanted.notice)}
    head |= {"approval_expires": str(wanted.approval_expires), "financial_year_end": str(wanted.year_end), "sha256": wanted.sha256}
    if as_json:
        emit_one({**head, "classes": _rules(wanted), "claims": sorted(wanted.claims)}, as_json=True)
        return
    emit_one(head, as_json=False)
    emit(_rules(wanted), _RULES, as_json=False)


@policy.command(epilog=example("ringfence policy lint mine.toml"))
@click.argument("file", type=_FILE)
@json_option
def lint(file: Path, *, as_json: bool) -> None:
    """Check a policy file; every fault is named with its key and how to put it right."""
    found = load(file)
    if as_json:
        emit_one({"policy": found.key, "version": found.version, "sha256": found.sha256}, as_json=True)
    else:
        say(f"{found.key} version {found.version} has no fault; its SHA-256 is {found.sha256}")


@policy.command(epilog=example("ringfence policy preview recommended.toml", "ringfence policy preview recommended --version 2 --json"))
@click.argument("target", metavar="FILE|POLICY")
@click.option("--version", type=click.IntRange(1), help="Of a proposal that is stored.")
@json_option
@installed
def preview(installation: Installation, target: str, version: int | None, *, as_json: bool) -> None:
    """Show what a version would do to what is held: by class and day, how many rows would go, and how many would stay longer; now, and on its day."""
    with installation.reading() as session:
        new = _stored(session, target, version) or load(Path(target))
        governs = any(each.key == new.key for each in governing(session, installation.settings.retention.policy, installation.clock.now()).all)
        made = previewed(session, installation.clock, installation.settings, new)
    _show_preview(new, made, governs=governs, as_json=as_json)


@policy.command(epilog=example("ringfence policy propose recommended.toml"))
@click.argument("file", type=_FILE)
@operator_option
@json_option
@installed
def propose(installation: Installation, file: Path, operator: str, *, as_json: bool) -> None:
    """Propose a version: it is stored, and nothing changes until a second operator approved it, customers were told, and the notice is over."""
    load(file)
    with installation.changing() as session:
        begin_alone(session)
        row = acts.propose(session, installation.clock, file.read_bytes(), file.name, by=operator)
        told = {"policy": row.policy, "version": row.version, "sha256": row.sha256, "effective": row.effective, "proposed_by": row.proposed_by}
    if as_json:
        emit_one(told, as_json=True)
        return
    say(f"{told['policy']} version {told['version']} is proposed for {told['effective']}; SHA-256 {told['sha256']}")
    note(f"a second operator runs 'ringfence policy preview {told['policy']} --version {told['version']}', then 'ringfence policy approve'")


@policy.command(epilog=example("ringfence policy approve recommended --version 2 --sha256 3f7a…   the one that the preview shows"))
@click.argument("key", metavar="POLICY")
@click.option("--version", type=click.IntRange(1), required=True, help="The version.")
@click.option("--sha256", required=True, help="SHA-256 of the text that you saw.")
@operator_option
@installed
def approve(installation: Installation, key: str, version: int, sha256: str, operator: str) -> None:
    """Approve a proposal as a second operator."""
    with installation.changing() as session:
        begin_alone(session)
        acts.approve(session, installation.clock, key, version, sha256=sha256.lower(), by=operator)
    say(f"{key} version {version} is approved; tell the customers, then run 'ringfence policy announce {key} --version {version}'")


@policy.command(epilog=example("ringfence policy announce recommended --version 2"))
@click.argument("key", metavar="POLICY")
@click.option("--version", type=click.IntRange(1), required=True, help="The version.")
@installed
def announce(installation: Installation, key: str, version: int) -> None:
    """Note that customers were told today. It takes effect by itself on its day; nothing can bring that day forward."""
    with installation.changing() as session:
        begin_alone(session)
        row = acts.announce(session, installation.clock, key, version)
        begins = acts.starts(session, installation.clock, row)
    say(f"{key} version {version} is announced; it takes effect at {begins:%Y-%m-%d %H:%M} UTC")


def _show_preview(new: Policy, made: Preview, *, governs: bool, as_json: bool) -> None:
    if as_json:
        head = {"policy": new.key, "version": new.version, "sha256": new.sha256, "effective_at": made.effective_at, "governs": governs}
        emit_one({**head, "changes": made.changes, "now": made.now, "effective": made.effective}, as_json=True)
        return
    if not governs:
        note(f"no account is under {new.key} now: nothing would change until one is ('ringfence account policy')")
    else:
        show_shifts(made.changes, {"now": made.now, f"on {new.effective.isoformat()}": made.effective})
    say(f"{new.key} version {new.version}, SHA-256 {new.sha256}")


def _listed(found: Policy, state: str) -> dict[str, Any]:
    return {"policy": found.key, "version": found.version, "name": found.name, "state": state, "effective": found.effective, "sha256": found.sha256}


def _rules(found: Policy) -> list[dict[str, Any]]:
    return [
        {
            "data_class": data_class,
            "window": str(rule.window) if rule.window else None,
            "from": rule.start,
            "minimum": str(rule.minimum) if rule.minimum else None,
            "minimum_from": rule.minimum_start,
            "action": rule.action,
            "legal": rule.legal,
            "minimum_legal": rule.minimum_legal or None,
            "claims": rule.claims,
        }
        for data_class, rule in found.rules.items()
    ]


def _holding(session: Session, default: str, now: datetime) -> set[tuple[str, int]]:
    """Return the versions that govern something; none when an account, or the settings, name a policy that nobody knows: nothing is deleted then."""
    try:
        return {(each.key, each.version) for each in governing(session, default, now).all}
    except Misconfigured as error:
        warn(f"{error.message}: nothing is deleted until 'retention.policy' and 'ringfence account policy' name policies of this list")
        return set()


def _stored(session: Session, target: str, version: int | None) -> Policy | None:
    """Return the proposal that is meant: of that version, else the newest of that policy; None when a file is meant."""
    if version is None and Path(target).exists():
        return None
    rows = [row for row in stored.list_versions(session) if row.policy == target and version in {None, row.version}]
    found = read_version(rows[-1]) if rows else None
    if found is None and (version is not None or not target.endswith(".toml")):
        raise NotFound(f"nobody proposed {f'version {version} of ' if version else ''}{target}", hint="name a file, or a proposal of 'ringfence policy list'")
    return found


def _text(session: Session, found: Policy) -> str:
    row = stored.find_version(session, found.key, found.version)
    return row.text if row is not None and row.text else shipped_text(found.key).decode()
