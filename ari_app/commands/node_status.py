"""`node status`: how this node and the others are."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click
import msgspec

from ari_app import status as node_status
from ari_app.configuration.stale import ConfigurationStanding, stale_files
from ari_app.status import Status, Stored
from ringfence.commands.installation import Installation, installed
from ringfence.commands.options import example, json_option
from ringfence.errors import Unavailable
from ringfence.output import Column, emit, emit_one, say
from ringfence.queries import emergency_tests
from ringfence.values import RoutedBy

_PARTS = (Column("name", "part"), Column("condition", "is"), Column("detail", "detail"))
_SHARES = (Column("routed_by", "routed by"), Column("hour", "last hour", right=True), Column("day", "last 24 hours", right=True))
_NODES = (
    Column("name", "node"),
    Column("silent", "silent"),
    Column("plan_version", "plan", right=True),
    Column("astdb_version", "AstDB", right=True),
    Column("app_seen_at", "app seen"),
    Column("booker_seen_at", "booker seen"),
    Column("worker_seen_at", "worker seen"),
    Column("asterisk_started_at", "Asterisk up since"),
)


@click.command(epilog=example("ringfence node status", "ringfence node status --json | jq .down"))
@json_option
@installed
def status(installation: Installation, *, as_json: bool) -> None:
    """Show the parts of this node, which plan is where, what waits to be booked, and the other nodes.

    The exit code is 0 when this node is well, and 69 when a part of it is down.
    """
    settings, now = installation.settings, installation.clock.now()

    def read_store() -> Stored:
        with installation.reading() as session:
            return node_status.stored(session, settings.node, now)

    def read_stale() -> tuple[str, ...]:
        with installation.reading() as session:
            return stale_files(settings, session)

    found = node_status.look(settings, now, read_store, read_stale)
    if as_json:
        emit_one(msgspec.structs.asdict(found) | {"down": found.down}, as_json=True)
    else:
        _print(found, settings.emergency.test_days, now)
    if found.down:
        raise Unavailable(f"{settings.node} is not well: {', '.join(found.down)} down", hint="'docs/operating.md' says what works meanwhile, and what to do")


def _print(found: Status, days: int, now: datetime) -> None:
    emit((msgspec.structs.asdict(part) for part in found.parts), _PARTS, as_json=False)
    plan, booked = found.plan, found.ledger
    say("")
    emit_one(
        {
            "plan of the store": _version(plan.store_version, plan.store_changed_at, now),
            "plan of the app": _known(plan.app_version) + ("" if plan.app_age_seconds is None else f", confirmed {plan.app_age_seconds:.1f} s ago"),
            "plan of the route server": _known(plan.agi_version),
            "plan of AstDB": _known(plan.astdb_version),
            "ledger not booked yet": "not known" if booked.bytes_behind is None else f"{booked.bytes_behind:,} bytes in {booked.files} file(s)",
            "lines set aside": "not known" if booked.set_aside_today is None else f"{booked.set_aside_today} in 24 hours",
            "configuration": _configuration(found.configuration),
            "purged last": _purged(found, now),
            "open incidents": "not known" if found.purge is None else str(found.purge.incidents),
            "calls to 999 tested": _tested(found, days, now),
        },
        as_json=False,
    )
    if found.routed_last_hour is not None and found.routed_last_day is not None:
        say("")
        emit(_shares(found.routed_last_hour, found.routed_last_day), _SHARES, as_json=False)
    if found.nodes:
        say("")
        emit((msgspec.structs.asdict(node) for node in found.nodes), _NODES, as_json=False)


def _shares(hour: dict[RoutedBy, int], day: dict[RoutedBy, int]) -> list[dict[str, Any]]:
    return [{"routed_by": by, "hour": _share(hour, by), "day": _share(day, by)} for by in RoutedBy]


def _share(counts: dict[RoutedBy, int], by: RoutedBy) -> str:
    total = sum(counts.values())
    return f"{counts[by]:,} ({counts[by] / total:.1%})" if total else "0"


def _version(version: int | None, changed_at: datetime | None, now: datetime) -> str:
    return _known(version) + ("" if changed_at is None else f", changed {max(int((now - changed_at).total_seconds()), 0)} s ago")


def _configuration(found: ConfigurationStanding) -> str:
    if found.stale is None:
        return found.problem
    return f"stale, 'ringfence config apply' makes it anew: {', '.join(found.stale)}" if found.stale else "as the store has it"


def _purged(found: Status, now: datetime) -> str:
    if found.purge is None:
        return "not known"
    finished_at = found.purge.finished_at
    return "never" if finished_at is None else f"{max((now - finished_at).total_seconds() / 3600, 0):.1f} h ago"


def _tested(found: Status, days: int, now: datetime) -> str:
    if found.tests is None:
        return "not known"
    passed, due = found.tests.passed_at, found.tests.due
    if passed is None and not due:
        return "nothing to test: no phone here calls"
    last = "never" if passed is None else f"{max((now - passed).total_seconds() / 86400, 0):.1f} days ago"
    if not due:
        return last
    state = "overdue" if emergency_tests.overdue(due, now, days) else "due"
    return f"{last}; {state}: {'; '.join(each.reason for each in due)}"


def _known(version: int | None) -> str:
    return "not known" if version is None else f"version {version}"
