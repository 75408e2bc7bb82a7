"""`emergency test`: tries calls to 999 as they go on this node, without calling the real 999."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from typing import Any

import click

from ari_app.configuration.gather import find_asterisk, gather
from ari_app.configuration.tested import remember_in_place
from ari_app.private.root import with_sipp
from ringfence.commands.installation import Installation, installed
from ringfence.commands.options import OPERATOR, Checked, example, json_option, login_name
from ringfence.emergency import HowTested
from ringfence.errors import Conflict
from ringfence.output import Column, emit, emit_one, note, say
from ringfence.provisioning import check_note
from ringfence.queries import emergency_tests
from ringfence.queries.emergency_tests import Held

_COLUMNS = (Column("check", "check"), Column("ok", "ok"), Column("problem", "problem"))
_SITES = 50


@click.command(epilog=example("ringfence emergency test", "ringfence emergency test --sites 0 --json"))
@click.option("--sites", type=click.IntRange(0), default=_SITES, show_default=True, help="Try one phone of each of so many sites, chosen anew; 0 = of all.")
@click.option("--by", type=OPERATOR, default=login_name, show_default="your login name", help="Who tests.")
@click.option("--note", "text", type=Checked("text", check_note), default="", help="What should be remembered; no customer's name or number.")
@json_option
@installed
def test(installation: Installation, sites: int, by: str, text: str, *, as_json: bool) -> int:
    """Test calls to 999 as they go on this node, and write the result down; exits 5 when something is not as it should be.

    The real 999 is never called. A second Asterisk is started on this machine, with the dialplan, phones and emergency trunks that are in place,
    and with answering points of SIPp instead of the carriers; it can reach nothing else. What the carriers do with a call, only a test that they
    agreed to can show: see 'record-test'.
    """
    from ari_app.emergency.walk import walk  # noqa: PLC0415  the manager's client is slow to import

    settings, clock, began = installation.settings, installation.clock, installation.clock.now()
    root = with_sipp(find_asterisk(settings))
    with installation.changing() as session:
        remember_in_place(session, clock, settings)
        conf = gather(settings, session, root)
    with _ending_in_order() as stop:
        found = walk(settings, conf, root, sites=sites, told=note, stop=stop)
    rows: list[dict[str, Any]] = [{"check": each.check, "ok": each.ok, "problem": each.problem} for each in found.checks]
    passed = all(row["ok"] for row in rows)
    way = (found.way.trunks, found.way.dialplan)
    held = Held(node=settings.node, began_at=began, how=HowTested.WALKED, passed=passed, by=by, note=text, checks=rows, way=way)
    with installation.changing() as session:
        made = emergency_tests.add(session, clock, held)
        shown = {"id": made.id, "node": settings.node, "result": "passed" if passed else "failed", "sites": found.sites, "sites_in_all": found.sites_in_all}
        left = emergency_tests.due(session, clock.now(), node=settings.node)
    if as_json:
        emit_one({**shown, "checks": rows, "still_due": emergency_tests.as_json(left)}, as_json=True)
    else:
        emit(rows, _COLUMNS, as_json=False)
        say(f"{shown['result']}: {found.sites} of {found.sites_in_all} site(s), {len(rows)} checks, written down as {shown['id']}")
    return 0 if passed else Conflict.exit_code


@contextmanager
def _ending_in_order() -> Iterator[Event]:
    """Give an event that SIGTERM and Ctrl-C set. They raise nothing: an exception in the midst of starting a process would leave that one running."""
    stop = Event()
    before = {number: signal.signal(number, lambda _number, _frame: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
