"""The group `call`: the calls that are up on this node."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import click
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ari_app import live
from ari_app.live import LiveCall, LiveState, Watcher
from ringfence.commands.installation import Installation, installed
from ringfence.commands.options import commit_option, example, json_option
from ringfence.errors import NotFound, Unavailable
from ringfence.masking import mask
from ringfence.output import Column, emit, note, printable, say
from ringfence.values import TargetKind

_COLUMNS = (
    Column("call_id", "call"),
    Column("state", "state"),
    Column("seconds", "seconds", right=True),
    Column("direction", "direction"),
    Column("caller", "caller"),
    Column("called", "called"),
    Column("targets", "rings"),
    Column("answered_by", "answered by"),
    Column("routed_by", "routed by"),
)
_EVERY = 1.0  # seconds between looks

reveal_option = click.option("--reveal", is_flag=True, help="Show numbers in full.")


@click.group()
def call() -> None:
    """Show and end the calls that are up on this node."""


@call.command("list", epilog=example("ringfence call list", "ringfence call list --reveal --json"))
@click.option("--limit", type=click.IntRange(0), default=100, show_default=True, help="At most so many; 0 = all.")
@reveal_option
@json_option
@installed
def list_(installation: Installation, limit: int, *, reveal: bool, as_json: bool) -> None:
    """List the calls that are up, oldest first.

    Of legs that ring together Asterisk does not tell which of them rings; who answered is known.
    """
    calls, count = Watcher(live.over_http(installation.settings)).read(limit=limit)
    emit(_rows(calls, installation.clock.now(), reveal=reveal), _COLUMNS, as_json=as_json, empty="no call is up")
    if len(calls) < count:
        note(f"{count - len(calls)} more are up; --limit 0 shows all")


@call.command(epilog=example("ringfence call watch"))
@click.option("--once", is_flag=True, help="Show them once and end.")
@click.option("--limit", type=click.IntRange(1), default=40, show_default=True, help="At most so many.")
@reveal_option
@installed
def watch(installation: Installation, limit: int, *, once: bool, reveal: bool) -> None:
    """Show the calls that are up, once a second, until Ctrl-C."""
    watcher = Watcher(live.over_http(installation.settings))
    if once:
        Console(highlight=False, markup=False).print(_picture(watcher, installation, limit, reveal=reveal))
        return
    with Live(Text("…"), auto_refresh=False, screen=False, console=Console(highlight=False, markup=False)) as screen:
        while True:
            try:
                screen.update(_picture(watcher, installation, limit, reveal=reveal), refresh=True)
            except Unavailable as error:  # Asterisk restarts; the next look may find it
                screen.update(Text(error.message), refresh=True)
            try:
                time.sleep(_EVERY)
            except KeyboardInterrupt:
                return


@call.command(
    epilog=example("ringfence call hangup node1-1795302588.12            shows which call it is", "ringfence call hangup node1-1795302588.12 --commit")
)
@click.argument("call_id", metavar="CALL")
@commit_option
@reveal_option
@installed
def hangup(installation: Installation, call_id: str, *, commit: bool, reveal: bool) -> None:
    """End a call at once, on both sides. Its call detail record says that the system ended it."""
    ask = live.over_http(installation.settings)
    found = next((one for one in Watcher(ask).read()[0] if one.call_id == call_id), None)
    if found is None:
        raise NotFound("no such call is up on this node", hint="'ringfence call list' lists them; a dialled leg ends with its call")
    row = _row(found, installation.clock.now(), reveal=reveal)
    about = f"{row['caller'] or 'an unknown caller'} to {row['called'] or 'an unknown number'}, {found.state} for {row['seconds']} s"
    if not commit:
        say(f"would end {call_id}: {about}")
        note("nothing was changed; add --commit to do it")
        return
    live.hang_up(ask, call_id)
    say(f"{call_id} is ended: {about}")


def _rows(calls: list[LiveCall], now: datetime, *, reveal: bool) -> Iterator[dict[str, Any]]:
    return (_row(one, now, reveal=reveal) for one in calls)


def _row(one: LiveCall, now: datetime, *, reveal: bool) -> dict[str, Any]:
    def number(text: str | None) -> str | None:
        return None if not text else text if reveal else mask(text)

    facts, routed = one.facts, one.routed
    return {
        "call_id": one.call_id,
        "state": one.state,
        "since": one.since,
        "seconds": max(int((now - one.since).total_seconds()), 0),
        "direction": facts.direction if facts else None,
        "caller": number(facts.caller) if facts else None,
        "caller_withheld": facts.withheld if facts else None,
        "called": number(facts.called) if facts else None,
        "inbound_trunk": facts.origin if facts else None,
        "did": number(routed.did) if routed else None,
        "account_id": routed.account_id if routed else None,
        "targets": [leg.address if leg.kind is TargetKind.ENDPOINT else f"{number(leg.address)} by {leg.trunk}" for leg in one.legs],
        "answered_by": one.answered_by,
        "routed_by": routed.by if routed else None,
    }


def _picture(watcher: Watcher, installation: Installation, limit: int, *, reveal: bool) -> Table:
    calls, count = watcher.read(limit=limit)
    now = installation.clock.now()
    answered = sum(one.state is LiveState.ANSWERED for one in calls)
    caption = f"{count} up, {answered} of those shown answered · {now:%H:%M:%S} UTC · Ctrl-C ends this view, not the calls"
    table = Table(box=None, pad_edge=False, header_style="bold", caption=caption, caption_justify="left")
    for column in _COLUMNS:
        table.add_column(column.title, justify="right" if column.right else "left")
    for row in _rows(calls, now, reveal=reveal):
        values = (row[column.key] for column in _COLUMNS)
        table.add_row(*(Text("-" if value is None else printable(", ".join(value) if isinstance(value, list) else str(value))) for value in values))
    return table
