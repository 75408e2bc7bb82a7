"""The run: every class is brought to today's cutoff. Level-triggered: a run that was missed or killed is made good by the next.

Where to go on is not noted anywhere: each batch's rows and receipt go in one transaction, so what is still there is what is still to be done.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from threading import Event

import msgspec
import structlog
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from retention import incidents
from retention.calendar import local_date
from retention.purge import aggregates, barrier, brakes, conservation, files, partitions, receipts
from retention.purge.batch import Batch, Batcher, ContendedError, days_of
from retention.purge.brakes import Brake, Past
from retention.purge.governing import adopt, governing, governs
from retention.purge.outcome import Outcome, Report, Result, by_class
from retention.purge.pace import Pace
from retention.purge.planner import Item, Plan, count_held, make_plan
from retention.purge.sqlite_care import Care
from retention.verify.format import Cutoff, RunClosed, RunStarted
from ringfence.audit import log as audit
from ringfence.audit.canonical import moment
from ringfence.clock import Clock
from ringfence.errors import Conflict
from ringfence.models.base import DataClass
from ringfence.queries import due as due_rows
from ringfence.queries import holds, leases, ledger, moments, purge, runs
from ringfence.queries import incidents as stored_incidents
from ringfence.queries.leases import Held
from ringfence.session import make_sessions
from ringfence.settings import Settings

LEASE = timedelta(minutes=2)  # longer than any batch; renewed by each
_HISTORY = 30  # runs that say what is usual

log = structlog.get_logger()


class Progress(msgspec.Struct, frozen=True):
    """How far a run is."""

    data_class: str
    policy: str
    done: int  # rows of this class that went, a call's legs among them
    due: int  # rows that the plan counted, without legs, with those that legal holds keep
    seconds: float  # that the last batch took
    own: int = 0  # as `done`, without legs: what is to be compared with `due`


class _StoppedError(Exception):
    """Somebody asked the run to end."""


class Purge:
    """Plans and runs purges of one store, and of this node's files."""

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        clock: Clock,
        *,
        policy: str,
        holder: str,
        store_now: Callable[[Session], datetime] = moments.store_now,
        progress: Callable[[Progress], None] = lambda _progress: None,
        largest: int | None = None,
    ) -> None:
        """Begin.

        Args:
            engine: the store.
            settings: say where this node's files are.
            clock: the clock; every cutoff is computed for its moment.
            policy: the key of the operator's default policy.
            holder: names this process in the lease.
            store_now: asks the store for its time; a simulation gives its own.
            progress: called after each batch.
            largest: at most about so many rows in a batch; None = as many as its time allows.
        """
        self._engine = engine
        self._sessions = make_sessions(engine)
        self._settings = settings
        self._clock = clock
        self._policy = policy
        self._holder = holder
        self._store_now = store_now
        self._progress = progress
        self._largest = largest

    def plan(self, only: Collection[DataClass] | None = None) -> Plan:
        """Return what a run would do now: the dry run. Deletes and writes nothing.

        Raises:
            Misconfigured: an account is under a policy that nobody knows.
        """
        now = self._clock.now()
        with self._sessions() as session:
            plan = make_plan(session, governing(session, self._policy, now), now, only)
            items = tuple(files.counted(session, self._settings, item) for item in plan.items)
        return msgspec.structs.replace(plan, items=items)

    def run(self, stop: Event | None = None, *, only: Collection[DataClass] | None = None) -> Report | None:
        """Bring every class to its cutoff; return what that came to, or None when another process has the lease.

        Args:
            stop: set it to end the run after the batch in hand.
            only: these classes; None = all.

        Raises:
            Conflict: another process took the lease meanwhile.
            Misconfigured: an account is under a policy that nobody knows.
        """
        with self._sessions.begin() as session:
            purge.begin_batch(session)
            held = leases.take(session, leases.PURGE, self._holder, self._clock.now(), LEASE)
        if held is None:
            return None
        try:
            return _Run(self, held, stop or Event(), only).go()
        finally:
            with self._sessions.begin() as session:
                leases.give_back(session, held, self._clock.now())


class _Run:
    """One run under one lease."""

    def __init__(self, owner: Purge, held: Held, stop: Event, only: Collection[DataClass] | None) -> None:
        # One class in two parts: what lasts, and what belongs to one run.
        self._engine, self._sessions, self._clock, self._largest = owner._engine, owner._sessions, owner._clock, owner._largest  # noqa: SLF001
        self._settings, self._policy, self._store_now, self._progress = owner._settings, owner._policy, owner._store_now, owner._progress  # noqa: SLF001
        self._held, self._stop, self._only = held, stop, only
        self._id, self._key, self._now = audit.new_id(), secrets.token_bytes(32), self._clock.now()
        self._batcher = Batcher(self._engine, self._clock, held, self._id, self._key, stop)
        self._care = Care(self._engine, self._stop)
        self._receipts = 0

    def go(self) -> Report:
        """Do it all."""
        with self._sessions() as session:
            found = brakes.clock(self._now, self._store_now(session), runs.newest_receipt_at(session), moments.last_seen(session))
            tripped = self._unconfirmed(session, found)
        if tripped:
            return self._stopped(Plan(self._now, 0, ()), tripped)
        with self._sessions.begin() as session:
            purge.begin_batch(session)
            at = governs(session, self._policy)
            policies = at(self._now)
            barrier.write_ahead(session, at, self._now)
            adopt(session, self._clock, policies, self._now)
        partitions.make_ahead(self._engine, self._now)
        sealed = conservation.seal(self._engine, self._clock, self._now)
        with self._sessions() as session:
            plan = make_plan(session, policies, self._now, self._only, quick=True)
            tripped = self._unconfirmed(session, self._brakes(session, plan))
        if tripped:
            return self._stopped(plan, tripped)
        self._begin(plan)
        results = tuple(self._class(item) for item in plan.items)
        months = self._afterwards(plan)
        return self._close(plan, results, sealed, months)

    def _brakes(self, session: Session, plan: Plan) -> list[Brake]:
        found: list[Brake] = []
        looked: set[str] = set()
        for item in plan.items:
            for table in item.sources:
                if table.source.table in conservation.TABLES and table.source.table not in looked:
                    looked.add(table.source.table)
                    found += brakes.future(self._now, item.data_class.value, due_rows.newest_row(session, table.source))
            past = runs.class_history(session, item.data_class.value, item.policy, _HISTORY)
            fresh = item.due.rows - (past[0].held if past else 0)  # what legal holds kept the last time is not new
            found += brakes.volume(item.data_class.value, fresh, item.cutoff.at, [Past(each.cutoff_at, each.due - each.held) for each in past])
        return found

    def _unconfirmed(self, session: Session, found: list[Brake]) -> list[Brake]:
        since = self._now - brakes.CONFIRMED_FOR
        return [brake for brake in found if not stored_incidents.confirmed_since(session, brake.cause, brake.data_class, since)]

    def _stopped(self, plan: Plan, tripped: list[Brake]) -> Report:
        """Write down that the run stopped before it deleted anything, and ask a person."""
        with self._sessions.begin() as session:
            purge.begin_batch(session)
            leases.fence(session, self._held, self._clock.now())
            stopped = {"finished_at": self._clock.now(), "stopped": tripped[0].cause}
            runs.begin_run(session, {**self._row(holds.read_version(session)), **stopped, "commitment_key": None}, [])
            for brake in tripped:
                incidents.raise_incident(session, self._clock, brake.cause, brake.detail, data_class=brake.data_class, run_id=self._id)
            audit.append(session, self._clock, "purge.stopped", actor="worker", run=self._id, token=self._held.token, cause=tripped[0].cause)
        log.warning("purge_stopped", cause=tripped[0].cause, run=self._id)
        return Report(self._id, self._held.token, plan.as_of, stopped=tripped[0].cause)

    def _begin(self, plan: Plan) -> None:
        def act(session: Session) -> None:
            version = holds.lock_version(session)
            runs.begin_run(session, self._row(version), [_class_row(self._id, item, self._now) for item in plan.items])
            cutoffs = [cutoff.fields() for item in plan.items for cutoff in _cutoffs(item)]
            started = RunStarted(self._id, self._held.token, moment(self._now), version, cutoffs)
            audit.append(session, self._clock, RunStarted.KIND, actor="worker", **started.fields())

        self._batcher.patiently(act)

    def _row(self, hold_version: int) -> dict[str, object]:
        return {
            "id": self._id,
            "token": self._held.token,
            "as_of": self._now,
            "started_at": self._now,
            "hold_version": hold_version,
            "receipts": 0,
            "rows": 0,
            "commitment_key": self._key,
        }

    def _class(self, item: Item) -> Result:
        """Bring one class to its cutoff. Whatever goes wrong, the next class has its turn; only a lost lease ends the run."""
        done = _Tally()
        try:
            outcome = self._files(item, done) if item.data_class in files.CLASSES else self._tables(item, done)
        except Conflict:
            raise
        except (ContendedError, _StoppedError) as error:
            outcome, done.reason = Outcome.CONTENDED, "stopped" if isinstance(error, _StoppedError) else "locked"
        except Exception as error:
            log.exception("class_failed", data_class=item.data_class.value, error=type(error).__name__)
            outcome, done.reason = Outcome.FAILED, type(error).__name__
        self._receipts += done.receipts
        result = Result(item.data_class.value, item.policy, outcome, done.rows, done.held, done.files, done.batches, done.longest_ms, done.reason)
        self._batcher.patiently(lambda session: _write_result(session, self._clock, self._id, result))
        return result

    def _tables(self, item: Item, done: _Tally) -> Outcome:
        for table in item.sources:
            if table.source.hidden is not None:
                self._batcher.patiently(lambda session, table=table: purge.drop_hidden(session, table))  # type: ignore[misc]
        # What waits for other rows to go may have become due since the plan was made: those went in this very run.
        if item.due.rows or any(table.source.waits for table in item.sources):
            for table in item.sources:
                self._walk(item, table, done)
            with self._sessions() as session:
                done.held = count_held(session, item)
        if done.held:
            return Outcome.HELD
        return Outcome.DONE if done.rows else Outcome.NOTHING_DUE

    def _walk(self, item: Item, table: due_rows.Due, done: _Tally) -> None:
        """Delete a table's windows from the oldest row to the cutoff."""
        pace = Pace(sqlite=self._care.is_sqlite, largest=self._largest)
        receipted: datetime | None = None
        lo: datetime | None = None
        while lo is None or lo < table.cutoff:
            if self._stop.is_set():
                raise _StoppedError
            batch = self._batcher.delete_next(item, table, receipted, lo, pace.size)
            if batch is None:
                return
            lo = batch.hi
            if batch.receipts:
                receipted = batch.hi
            done.add(batch)
            pace.took(batch.seconds)
            self._progress(Progress(item.data_class.value, item.policy, done.rows, item.due.rows, batch.seconds, done.own))
            if not self._care.after_batch(batch.seconds):
                raise ContendedError

    def _files(self, item: Item, done: _Tally) -> Outcome:
        """Give up the node's files of a class, then remove them."""
        cutoffs = {item.data_class: item.cutoff.at} if item.default else {}
        with self._sessions() as session:
            booked = ledger.list_positions(session, self._settings.node).values()
            wide = holds.covers_files(session, item.data_class.value)
        found = files.look(self._settings, cutoffs, booked)
        if found.old and not wide:
            rows = [files.tombstone(self._settings.node, self._id, old, self._clock.now()) for old in found.old]
            self._batcher.patiently(lambda session: runs.add_tombstones(session, rows) if not holds.covers_files(session, item.data_class.value) else None)
        gone = files.sweep(self._batcher, self._settings, self._clock, self._id)
        done.files = len([each for each in gone if each.data_class == item.data_class.value])
        if found.kept:
            done.reason = "not_booked"
            return Outcome.FAILED
        if wide and found.old:
            return Outcome.HELD
        return Outcome.DONE if done.files else Outcome.NOTHING_DUE

    def _afterwards(self, plan: Plan) -> tuple[str, ...]:
        """Sweep legs that lost their call, join small counts, drop empty months, give pages back."""
        calls = [item.cutoff.at for item in plan.items if item.data_class is DataClass.CALL_LOG]
        months: tuple[str, ...] = ()
        if self._stop.is_set():
            return months  # the next run does it
        try:
            if calls:
                self._batcher.patiently(lambda session: self._sweep(session, min(calls)))
                fates = partitions.drop_empty(self._engine, min(calls))
                months = tuple(part.month.table(part.of) for part, fate in fates if fate is partitions.Fate.DROPPED)
        except ContendedError:
            log.warning("afterwards_contended", run=self._id)
        if not self._care.finish():
            log.warning("log_not_cut", run=self._id)
        return months

    def _sweep(self, session: Session, before: datetime) -> None:
        stamp = self._batcher.stamp(session)
        aggregates.suppress(session, local_date(before))
        gone = purge.sweep_legs(session, before, lambda first: days_of(first, before))
        if gone is not None:
            audit.append_all(session, self._clock, [receipts.write_free(session, stamp, DataClass.CALL_LOG.value, gone, "correction")])

    def _close(self, plan: Plan, results: tuple[Result, ...], sealed: int, months: tuple[str, ...]) -> Report:
        rows = sum(result.rows for result in results)

        def act(session: Session) -> None:
            runs.update_run(session, self._id, finished_at=self._clock.now(), receipts=self._receipts, rows=rows)
            closed = RunClosed(self._id, self._held.token, self._receipts, rows, by_class(results))
            audit.append(session, self._clock, RunClosed.KIND, actor="worker", **closed.fields())

        self._batcher.patiently(act)
        log.info("purge_closed", run=self._id, rows=rows, receipts=self._receipts)
        return Report(self._id, self._held.token, plan.as_of, results, receipts=self._receipts, sealed=sealed, months=months)


class _Tally(msgspec.Struct):
    """What a class has come to so far."""

    rows: int = 0
    own: int = 0
    receipts: int = 0
    batches: int = 0
    longest_ms: int = 0
    files: int = 0
    held: int = 0
    reason: str = ""

    def add(self, batch: Batch) -> None:
        """Count a batch."""
        self.rows, self.own, self.receipts, self.batches = self.rows + batch.rows, self.own + batch.own, self.receipts + batch.receipts, self.batches + 1
        self.longest_ms = max(self.longest_ms, round(batch.seconds * 1000))


def _class_row(run: str, item: Item, now: datetime) -> dict[str, object]:
    cutoff = item.cutoff
    return {
        "run_id": run,
        "data_class": item.data_class.value,
        "policy": item.policy,
        "policy_version": item.policy_version,
        "policy_digest": item.policy_digest,
        "period": str(cutoff.period),
        "start_event": cutoff.start,
        "year_end": str(cutoff.year_end) if cutoff.year_end else None,
        "cutoff_at": cutoff.at,
        "started_at": now,
        "due": item.due.rows,
        "rows": 0,
        "held": 0,
        "files": 0,
        "batches": 0,
        "longest_ms": 0,
        "oldest_at": item.due.oldest,
    }


def _cutoffs(item: Item) -> list[Cutoff]:
    tables = [name for table in item.sources for name in ((table.source.table, "leg") if table.source.legs else (table.source.table,))]
    at = moment(item.cutoff.at)
    return [Cutoff(item.data_class.value, table, item.policy, item.policy_version, item.policy_digest, at) for table in tables]


def _write_result(session: Session, clock: Clock, run: str, result: Result) -> None:
    runs.update_class(
        session,
        run,
        result.data_class,
        result.policy,
        rows=result.rows,
        held=result.held,
        files=result.files,
        batches=result.batches,
        longest_ms=result.longest_ms,
        outcome=result.outcome.value,
        reason=result.reason or None,
        finished_at=clock.now(),
    )
    if result.outcome is Outcome.FAILED:
        incidents.raise_incident(session, clock, "class_failed", f"{result.data_class}: {result.reason}", data_class=result.data_class, run_id=run)
