"""`number explain`: the whole decision of one call, by the same function as a live call."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from typing import Any

import click
import msgspec
from sqlalchemy.orm import Session

from ari_app.stored_plan import StoredPlan
from dialplan.call import CallFacts
from dialplan.call_back import CallBack, tell
from dialplan.explanation import Step
from dialplan.explanation import explain as explain_call
from dialplan.identity import signalled_number
from dialplan.routing import Rules
from ringfence.commands.installation import Installation, installed
from ringfence.commands.options import NAME, NUMBER, Checked, example, json_option
from ringfence.errors import Invalid, NotFound
from ringfence.output import Column, emit, emit_one, note, say
from ringfence.queries import emergency, numbering, plan
from ringfence.queries.numbering import Owned
from ringfence.settings import Settings
from ringfence.values import Direction

_SIGNALLED = re.compile(r"\+?[0-9]{0,18}\Z", re.ASCII)
_RULES = (Column("rule", "rule"), Column("decides", "decides"), Column("why", "why"))
_LEGS = (
    Column("target", "rings"),
    Column("trunk", "trunk"),
    Column("dialled", "dialled"),
    Column("from_header", "From"),
    Column("p_asserted_identity", "P-Asserted-Identity"),
    Column("privacy", "Privacy"),
    Column("diversion", "Diversion"),
)


def _signalled(text: str) -> str:
    compact = re.sub(r"[ ().\-]", "", text)
    if not _SIGNALLED.match(compact):
        raise Invalid("a signalled number has only digits, with a '+' first if any", hint="write it like +442079460123, or as the carrier sends it")
    return compact


def _moment(text: str) -> str:
    try:
        return _parse_moment(text).isoformat()
    except ValueError as error:
        raise Invalid("it is not a time", hint="write it like 2026-11-21T10:30 (UTC) or 2026-11-21T10:30+01:00") from error


def _parse_moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


@click.command(
    epilog=example(
        "ringfence number explain 02079460123 --from 07700900123",
        "ringfence number explain 02079460123 --from 07700900123 --withheld --at 2026-11-01T09:00",
        "ringfence number explain 14101174960123 --endpoint desk-12     what happens when that phone dials this",
    )
)
@click.argument("called", metavar="NUMBER", type=Checked("number", _signalled))
@click.option(
    "--from", "caller", metavar="NUMBER", type=Checked("number", _signalled), default="", help="Who calls, as the carrier signals it [default: no number]."
)
@click.option("--at", "at", metavar="TIME", type=Checked("time", _moment), help="Whose number was it then? UTC unless it has an offset [default: now].")
@click.option("--withheld", is_flag=True, help="The caller withholds the number.")
@click.option("--diversions", type=click.IntRange(0, 99), default=0, help="How often the call was diverted before.")
@click.option("--diverted-from", metavar="NUMBER", type=NUMBER, help="The number that diverted it last.")
@click.option("--trunk", "origin", metavar="NAME", type=NAME, help="The trunk that it comes by.")
@click.option("--endpoint", metavar="NAME", type=NAME, help="Explain what happens when this phone dials NUMBER.")
@click.option("--call", "linkedid", metavar="ID", default="explained", help="A call's id: draws the same trunks among equals as that call did.")
@click.option("--ask-asterisk", "ask", is_flag=True, help="Ask this node's Asterisk whether a call back from the emergency services is due.")
@json_option
@installed
def explain(
    installation: Installation,
    called: str,
    caller: str,
    at: str | None,
    *,
    withheld: bool,
    diversions: int,
    diverted_from: str | None,
    origin: str | None,
    endpoint: str | None,
    linkedid: str,
    ask: bool,
    as_json: bool,
) -> None:
    """Tell how a call to a number is decided, rule by rule, and what each trunk would get.

    The plan used is the present one: forwarding has no schedules. TIME tells whose number it was then.
    """
    if endpoint and (caller or origin or diversions or diverted_from or ask):
        raise Invalid(
            "a phone's own call has no --from, --trunk, --diversions, --diverted-from or --ask-asterisk", hint="leave them out, or leave out --endpoint"
        )
    facts = CallFacts(
        direction=Direction.OUTBOUND if endpoint else Direction.INBOUND,
        called=called,
        caller=caller,
        presentation="prohib" if withheld else "allowed",
        origin=endpoint or origin or "",
        diversions=diversions,
        diverted_from=diverted_from or "",
    )
    settings = installation.settings
    moment = installation.clock.now() if at is None else _parse_moment(at)
    with installation.reading() as session:
        stored = StoredPlan(session)
        if origin and stored.trunk(origin) is None:
            raise NotFound(f"there is no trunk {origin}", hint="'ringfence trunk list' lists them")
        steps = explain_call(facts, stored, _rules(settings), seed=linkedid, host=settings.asterisk.external_host or settings.asterisk.sip_host)
        about = _about(session, facts, moment, stored.version)
        phones = [] if endpoint else emergency.phones_of_site(session, about["number"])
    back = None if endpoint else _call_back(installation, about["number"], phones, ask=ask)
    if as_json:
        emit_one({**about, "facts": facts, "call_back": back, "steps": [msgspec.to_builtins(step) for step in steps]}, as_json=True)
    else:
        _print(about, back, steps)


def _rules(settings: Settings) -> Rules:
    routing = settings.routing
    return Rules(max_diversions=routing.max_diversions, max_repeats=routing.max_repeats, international=routing.international)


def _about(session: Session, facts: CallFacts, moment: datetime, version: int) -> dict[str, Any]:
    number = signalled_number(facts.called)
    did = plan.load_did(session, number) if number else None
    owners = numbering.history(session, number) if number else []
    return {
        "number": number or facts.called,
        "state": did.state if did else None,
        "at": moment,
        "account_then": _owner(owners, moment),
        "account_now": _owner(owners, None),
        "plan_version": version,
        "plan": "the present one, whatever --at says: forwarding has no schedules, and past plans are not kept",
    }


def _owner(owners: list[Owned], moment: datetime | None) -> str | None:
    """Return whose it was at a moment; None as the moment = whose it is."""
    if moment is None:
        return next((owned.account for owned in reversed(owners) if owned.until is None), None)
    return next((owned.account for owned in reversed(owners) if owned.since <= moment and (owned.until is None or moment < owned.until)), None)


def _call_back(installation: Installation, number: str, phones: list[str], *, ask: bool) -> CallBack:
    """Return what is known of a call back from the emergency services; Asterisk alone remembers the call to 999, so it is asked when the operator says so."""
    if not ask:
        return tell(phones, asked=False)
    from ari_app.ami.call_back import ask_remembered  # noqa: PLC0415  the manager's client is slow to import

    return tell(phones, asked=True, remembered=asyncio.run(ask_remembered(installation.settings, number, installation.clock.now())))


def _print(about: dict[str, Any], back: CallBack | None, steps: tuple[Step, ...]) -> None:
    emit_one(about, as_json=False)
    if back:
        say("")
        say(f"Call back from the emergency services: {back.why}.")
    for step in steps:
        say("")
        say(f"{step.number}. When {step.asked}:")
        emit(({"rule": rule.rule, "decides": "yes" if rule.applies else "no", "why": rule.why} for rule in step.rules), _RULES, as_json=False)
        if step.rings:
            say(f"   rings for {step.ring_seconds} s{_limits(step)}:")
            emit(({**msgspec.structs.asdict(leg), "target": f"{leg.kind} {leg.address}"} for leg in step.rings), _LEGS, as_json=False)
            given = [f"{name}={value}" for name, value in step.variables.items()]
            say("   Asterisk gets: " + ", ".join([*given, f"and goes on at {step.extension}@{step.context}"]))
            say(f"   answered: the call is connected. A final answer (busy, declined, not answered): {step.after_final}")
        else:
            say(f"   ends: the caller hears {step.caller_hears} (cause {step.cause})" + (f", because {step.refusal}" if step.refusal else ""))
    note("limits, the rate of calls and repeated calls depend on the moment: they are shown as if nothing else happened")


def _limits(step: Step) -> str:
    limits = [f"account: at most {step.concurrency_limit} calls at once"] if step.concurrency_limit is not None else []
    limits += [f"{leg.trunk}: at most {leg.capacity} channels" for leg in step.rings if leg.capacity is not None]
    return f" ({'; '.join(limits)})" if limits else ""
