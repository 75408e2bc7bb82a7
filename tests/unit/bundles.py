"""A small honest operator: a policy, sealed days, a legal hold, two purges, an erasure; and the bundle that shows them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from retention.evidence import Evidence, make_bundle, policy_digest
from retention.verify import calendar
from retention.verify.format import Adopted, Balance, Cutoff, Hold, Intake, Receipt, RunClosed, RunStarted
from ringfence.audit import log
from ringfence.audit.canonical import moment
from ringfence.audit.log import Draft
from ringfence.audit.notes import Signer
from ringfence.clock import FixedClock
from ringfence.models import Base
from ringfence.session import make_engine, make_sessions
from ringfence.settings import Settings

SIGNER = Signer("example.com/ringfence", bytes(range(32)))
STRANGER = Signer("example.com/ringfence", bytes(32))
POLICY = {"policy": "default", "version": 1, "classes": {"call_log": {"period": "P12M", "year_end": None}}, "text": "Call records are kept for 12 months."}
DIGEST = policy_digest(POLICY)
HOLD = "a" * 31 + "1"
FIRST_RUN, SECOND_RUN, REQUEST = ("b" * 31 + each for each in "123")
COMMITMENT = "c" * 64
Change = Callable[[list[Draft]], None]


def receipt(run: str, lo: str, hi: str, *, rows: list[tuple[str, int]], cutoff: str, token: int, hold_version: int = 1) -> Draft:
    """A window's receipt; `rows` are (London day, rows), each row at noon UTC."""
    return Draft(
        Receipt.KIND,
        Receipt(
            run=run,
            token=token,
            data_class="call_log",
            table="call",
            lo_at=lo,
            lo_key="",
            hi_at=hi,
            hi_key="",
            rows=sum(count for _, count in rows),
            min_t=f"{rows[0][0]}T12:00:00.000000Z" if rows else None,
            max_t=f"{rows[-1][0]}T12:00:00.000000Z" if rows else None,
            days=[list(pair) for pair in rows],
            cutoff=cutoff,
            policy="default",
            policy_version=1,
            policy_digest=DIGEST,
            hold_version=hold_version,
            reason="window",
            commitment=COMMITMENT,
        ).fields(),
        "worker",
    )


def started(run: str, token: int, as_of: datetime) -> tuple[Draft, str]:
    cutoff = moment(calendar.cutoff(as_of, "P12M", None))
    ruled = Cutoff("call_log", "call", "default", 1, DIGEST, cutoff)
    return Draft(RunStarted.KIND, RunStarted(run, token, moment(as_of), 1, [ruled.fields()]).fields(), "worker"), cutoff


def story() -> list[Draft]:
    """The entries; the log's time is 2026-03-29, one entry a second."""
    at = datetime(2026, 3, 28, 2, tzinfo=UTC)
    first, cutoff = started(FIRST_RUN, 1, at)
    second, later = started(SECOND_RUN, 2, at + timedelta(days=1))
    erased = Receipt(
        REQUEST, 0, "call_log", "call", "", "", "", "", 1, f"{DAYS[3]}T09:00:00.000000Z", f"{DAYS[3]}T09:00:00.000000Z",
        [[DAYS[3], 1]], None, None, None, None, 1, "erasure", COMMITMENT,
    )  # fmt: skip
    return [
        Draft(Adopted.KIND, Adopted("default", 1, DIGEST, "2026-01-01T00:00:00.000000Z").fields()),
        *(Draft(Intake.SEALED, Intake("call_log", day, count).fields()) for day, count in zip(DAYS, (5, 7, 3, 4), strict=True)),
        Draft("legal_hold.placed", {"hold": HOLD, "hold_version": 1}),
        first,
        receipt(FIRST_RUN, "", f"{DAYS[0]}T12:00:00.000000Z", rows=[(DAYS[0], 5)], cutoff=cutoff, token=1),
        receipt(FIRST_RUN, f"{DAYS[0]}T12:00:00.000000Z", cutoff, rows=[(DAYS[1], 7)], cutoff=cutoff, token=1),
        Draft(RunClosed.KIND, RunClosed(FIRST_RUN, 1, 2, 12, [["call_log", "done"]]).fields(), "worker"),
        Draft(Receipt.KIND, erased.fields()),
        second,
        receipt(SECOND_RUN, "", later, rows=[(DAYS[2], 2)], cutoff=later, token=2),
        Draft(RunClosed.KIND, RunClosed(SECOND_RUN, 2, 1, 2, [["call_log", "held"]]).fields(), "worker"),
        Draft(Intake.LATE, Intake("call_log", DAYS[3], 1).fields()),
    ]


DAYS = ("2025-03-25", "2025-03-26", "2025-03-27", "2026-03-20")
EVIDENCE = Evidence(
    policies=(POLICY,),
    holds=(Hold(HOLD, "call_log", 1, None, "2026-09-01"),),
    balances=(
        Balance("call_log", DAYS[0], 5, 0, 0, 5, 0, 0, 0),
        Balance("call_log", DAYS[1], 7, 0, 0, 7, 0, 0, 0),
        Balance("call_log", DAYS[2], 3, 0, 1, 2, 0, 0, 0),
        Balance("call_log", DAYS[3], 4, 1, 4, 0, 1, 0, 0),
    ),
)


def bundle(
    home: Path, *, change: Change | None = None, evidence: Evidence = EVIDENCE, first: int = 0, checkpoints: tuple[int, ...] = (6, 10)
) -> dict[str, bytes]:
    """Return the files of the bundle that the story gives, when `change` has made of it what it likes and the operator signed that."""
    drafts = story()
    if change is not None:
        change(drafts)
    with store(home) as session:
        write(session, drafts, checkpoints)
        return make_bundle(session, FixedClock(datetime(2026, 4, 1, tzinfo=UTC)), SIGNER, evidence, first=first)


def write(session: Session, drafts: list[Draft], checkpoints: tuple[int, ...] = ()) -> None:
    """Write entries, one a second, and sign where asked to."""
    clock = FixedClock(datetime(2026, 3, 29, 12, tzinfo=UTC))
    for number, draft in enumerate(drafts, 1):
        log.append(session, clock, draft.kind, actor=draft.actor, **draft.fields)
        clock.set(clock.now() + timedelta(seconds=1))
        if number in checkpoints:
            log.make_checkpoint(session, clock, SIGNER)


def store(home: Path) -> Session:
    """Return a session on an empty store without triggers: what an operator can do who owns the database."""
    engine = make_engine(Settings(home=str(home)))
    Base.metadata.create_all(engine)
    return make_sessions(engine)()


def changed(drafts: list[Draft], index: int, **fields: Any) -> None:
    """Replace fields of an entry."""
    drafts[index] = Draft(drafts[index].kind, {**drafts[index].fields, **fields}, drafts[index].actor)
