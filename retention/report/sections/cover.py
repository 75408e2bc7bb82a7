"""Whose report it is, of what and when, and how to check it."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import msgspec
from sqlalchemy import make_url

from retention.purge.governing import digest
from retention.report.model import Column, Facts, Kind, Section
from retention.report.reading import Reading
from ringfence import migrate
from ringfence.models import AuditCheckpoint
from ringfence.queries import audit
from ringfence.queries.report import server_version

_CONTROLLER = (Column("name", "Controller"), Column("privacy_contact", "Questions of privacy"), Column("support_contact", "Everything else"))
_REPORT = (
    Column("period", "Period"),
    Column("made_at", "Made at", Kind.MOMENT),
    Column("software", "Software"),
    Column("node", "Node"),
    Column("store", "Store"),
    Column("schema", "Schema of the store"),
    Column("previous", "SHA-256 of the previous report", Kind.CODE),
    Column("previous_at", "Previous report made at", Kind.MOMENT),
)
_POLICY = (
    Column("name", "Policy"),
    Column("key", "Key"),
    Column("version", "Version", Kind.COUNT),
    Column("effective", "In force from", Kind.DAY),
    Column("sha256", "SHA-256 of its file", Kind.CODE),
    Column("digest", "Digest that receipts name", Kind.CODE),
    Column("others", "Policies of single accounts"),
)
_AUDIT = (
    Column("status", "Signature", Kind.STATUS),
    Column("size", "Entries", Kind.COUNT),
    Column("root", "Root of the tree", Kind.CODE),
    Column("checkpoint_size", "Entries under the checkpoint", Kind.COUNT),
    Column("checkpoint_at", "Checkpoint made at", Kind.MOMENT),
    Column("checkpoint", "Checkpoint", Kind.CODE),
    Column("verifier_key", "Verifier key", Kind.CODE),
    Column("export", "To get the evidence", Kind.CODE),
    Column("verify", "To check it, without this product", Kind.CODE),
)


def cover(reading: Reading) -> Section:
    """Return the section."""
    controller = reading.settings.controller
    who = {"name": controller.name, "privacy_contact": controller.privacy_contact, "support_contact": controller.support_contact}
    missing = [column.title for column in _CONTROLLER if not who[column.key].strip()]
    signed = _audit(reading)
    exceptions = [f"The settings do not say: {', '.join(missing)} (controller.*)."] if missing else []
    if signed["status"] != "current":
        exceptions.append("The audit log is not signed as it stands: run 'ringfence audit checkpoint'.")
    return Section(
        key="cover",
        title="This report",
        text="What personal data is held, for how long, what was deleted and when, and what proves it.",
        blocks=(
            Facts("controller", "Who answers for the data", _CONTROLLER, {key: value.strip() or None for key, value in who.items()}),
            Facts("report", "When and from what", _REPORT, _report(reading)),
            Facts("policy", "The policy in force", _POLICY, _policy(reading)),
            Facts("audit", "The audit log, which this report rests on", _AUDIT, signed),
        ),
        exceptions=tuple(exceptions),
    )


def _report(reading: Reading) -> dict[str, Any]:
    previous = next(iter(audit.newest_entries(reading.session, 1, kind="report.issued")), None)
    return {
        "period": str(reading.span),
        "made_at": reading.now,
        "software": f"ringfence {version('ringfence')}",
        "node": reading.settings.node,
        "store": _store(reading),
        "schema": migrate.current_of(reading.session.connection()),
        "previous": None if previous is None else msgspec.json.decode(previous.body)["digest"],
        "previous_at": None if previous is None else previous.at,
    }


def _store(reading: Reading) -> str:
    """Return which store it is, without a user's name, a password or a path."""
    url = make_url(reading.settings.database_url)
    engine = reading.session.connection().dialect.name
    name = (url.database or "").rpartition("/")[2]
    return f"{engine} {server_version(reading.session)}, {f'{url.host}/{name}' if url.host else name}"


def _policy(reading: Reading) -> dict[str, Any]:
    policy = reading.policies.default
    others = ", ".join(f"{other.key} version {other.version}" for other in reading.policies.others)
    return {
        "name": policy.name,
        "key": policy.key,
        "version": policy.version,
        "effective": policy.effective,
        "sha256": policy.sha256,
        "digest": digest(policy),
        "others": others or "none",
    }


def _audit(reading: Reading) -> dict[str, Any]:
    head = audit.read_head(reading.session)
    checkpoint: AuditCheckpoint | None = audit.find_checkpoint(reading.session)
    key = checkpoint.verifier_key if checkpoint else None
    return {
        "status": "not_signed" if checkpoint is None else "current" if checkpoint.size == head.size else "behind",
        "size": head.size,
        "root": head.root().hex(),
        "checkpoint_size": checkpoint.size if checkpoint else None,
        "checkpoint_at": checkpoint.at if checkpoint else None,
        "checkpoint": checkpoint.note if checkpoint else None,
        "verifier_key": key,
        "export": "ringfence audit export evidence.tar",
        "verify": f"ringfence-verify evidence.tar --key '{key or 'KEY'}'",
    }
