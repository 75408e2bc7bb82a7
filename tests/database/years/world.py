"""A store, its people, its traffic and its worker, day after day; after each run the store must hold exactly what the reference says."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from retention import incidents
from retention.purge import conservation
from ringfence.clock import FixedClock
from ringfence.models import Account, Base, CallAggregate, HeldRow, PurgeReceipt
from ringfence.models.base import DataClass
from ringfence.queries import incidents as stored_incidents
from ringfence.queries import ledger
from ringfence.session import make_sessions
from ringfence.settings import Settings
from tests.database.purging import book, purge, verified
from tests.database.years.acts import People, reference
from tests.database.years.crash import Reaper, kill_a_worker
from tests.database.years.london import DAY, begins
from tests.database.years.reference import ORDER, Key, Row
from tests.database.years.traffic import Traffic, is_edge, tell

KEYS: Mapping[str, tuple[str, ...]] = {
    "call": ("call_id",),
    "leg": ("call_id", "number"),
    "invoice_line": ("started_at",),
    "did_ownership": ("id",),
    "endpoint": ("name",),
    "account": ("id",),
    "account_policy": ("account_id",),
    "plan_change": ("version", "kind", "key"),
    "legal_hold": ("id",),
    "incident": ("id",),
    "sealed_day": ("data_class", "day"),
    "purge_receipt_day": ("receipt_id", "day"),
    "purge_receipt": ("id",),
    "purge_run_class": ("run_id", "data_class", "policy"),
    "purge_run": ("id",),
}
# Rows that acts and runs write: the reference is told of each when it is first seen. Their own time, account, numbers.
_SEEN: Mapping[str, tuple[str, str | None, tuple[str, ...]]] = {
    "account": ("closed_at", "id", ()),
    "endpoint": ("", "account_id", ("caller_did",)),
    "account_policy": ("since", "account_id", ()),
    "did_ownership": ("until", "account_id", ("e164",)),
    "plan_change": ("changed_at", None, ("key",)),
    "legal_hold": ("released_at", None, ()),
    "incident": ("closed_at", None, ()),
    "sealed_day": ("sealed_at", None, ()),
    "purge_receipt": ("at", None, ()),
    "purge_receipt_day": ("at", None, ()),
    "purge_run_class": ("started_at", None, ()),
    "purge_run": ("started_at", None, ()),
}
CLASSES = [DataClass(name) for name in ORDER]


class _Impatient(Event):
    """An event that nobody waits for: SQLite's purge rests between batches, for others that are not here."""

    def wait(self, timeout: float | None = None) -> bool:  # noqa: ARG002
        return self.is_set()


class World:
    """Years in a store.

    Args:
        engine: a migrated, empty store.
        settings: its settings.
        seed: says everything that happens.
        first: the first day.
        days: how many.
        per_day: calls a day, about.
        spacing: about so many days between runs, but for those days where calendars go wrong.
    """

    def __init__(self, engine: Engine, settings: Settings, seed: int, first: date, days: int, *, per_day: float, spacing: int) -> None:
        self.engine, self.settings = engine, settings
        self.chance = random.Random(seed)  # noqa: S311  a simulation
        self.clock = FixedClock(begins(first))
        self.sessions = make_sessions(engine)
        self.told = reference()
        self.people = People(self.sessions, self.clock, self.told, self.chance)
        self.traffic = Traffic(self.chance, per_day)
        self.reaper = Reaper(engine)
        self.first, self.last, self.spacing = first, first + days * DAY, spacing
        self.happened: Counter[str] = Counter()
        self._statements = 300  # of a run, about: where it can be killed
        self._kill_days: set[date] = set()
        self._dark: datetime | None = begins(first + days // 2 * DAY)  # then everything is off for a while

    def live(self, script: Mapping[int, Any], *, sigkills: int = 3) -> None:
        """Live through all days.

        Args:
            script: what happens on which day, counted from the first, besides what the dice say: functions that get this world.
            sigkills: how often a worker of its own is killed.
        """
        days = (self.last - self.first).days
        self._kill_days = {self.first + self.chance.randint(days // 6, days - 1) * DAY for _ in range(sigkills)}
        day, off = self.first, 0
        while day < self.last:
            number = (day - self.first).days
            self.clock.set(begins(day) + timedelta(hours=12))
            if number in script:
                script[number](self)
            self._chances(number)
            self.traffic.day(day, self.people.owners)
            if self._dark == begins(day):
                off = 40  # nothing of ours is heard of for so long
            off = off - 1 if off else self._goes_off()
            if not off and self._runs_after(day):
                self.night(day + DAY)
            day += DAY

    def _runs_after(self, day: date) -> bool:
        """Tell whether the worker runs in the night after a day: always next to a 29 February and where it ends a year's window."""
        leap = (day.month, day.day) == (2, 29) or (day.year % 4 == 1 and (day.month, day.day) in {(2, 27), (2, 28)})
        edge = is_edge(day) and self.chance.random() < 0.08
        return leap or edge or day in self._kill_days or self.chance.random() < 1 / self.spacing

    def night(self, day: date) -> None:
        """Book what came in, and purge, in the night before a day: mostly in its first hours, sometimes at its very first moment or just before."""
        after = self.chance.choice([timedelta(hours=3, minutes=30)] * 4 + [timedelta(0), timedelta(microseconds=1), -timedelta(microseconds=1)])
        now = begins(day) + after
        self.clock.set(now)
        bookings = self.traffic.take(now)
        book(self.engine, bookings)
        self._heartbeat(now)
        for made in bookings:
            tell(self.told, made)
        self.happened["calls"] += len(bookings)
        self._see()
        if day - DAY in self._kill_days:
            self._sigkill()
        elif self.chance.random() < 0.25:
            for _ in range(self.chance.randint(1, 2)):
                self._die()
        self.run()

    def _heartbeat(self, now: datetime) -> None:
        """The node's booker is alive in every night but the first one after the dark weeks."""
        if self._dark is not None and now > self._dark:
            self._dark = None
            return
        with self.sessions.begin() as session:
            ledger.upsert_booker_seen(session, "n1", now)

    def run(self) -> None:
        """Purge; a person confirms what a brake asks. Then compare."""
        before = self.reaper.seen
        while True:
            report = purge(self.engine, self.settings, self.clock, holder="worker", largest=self.chance.choice([30, None, None])).run(
                _Impatient(), only=CLASSES
            )
            assert report is not None
            if not report.stopped:
                break
            self.happened[report.stopped] += 1
            self._see()
            self._same("a run that a brake stopped changed something")
            with self.sessions.begin() as session:
                for incident in stored_incidents.list_incidents(session):
                    incidents.close(session, self.clock, incident.id, outcome="confirmed", by="kim")
            self._see()
        assert {result.outcome.value for result in report.results} <= {"done", "held", "nothing_due"}
        self._statements = max(self.reaper.seen - before, 50)
        self.told.run(report.as_of)
        self.happened["runs"] += 1
        self._see()
        self._same("after a run")

    def finish(self, folder: Path) -> None:
        """Check what must hold at the end: conservation everywhere, and a bundle that the verifier accepts."""
        with self.sessions.begin() as session:
            conservation.tell_late(session, self.clock)
        with self.sessions() as session:
            assert conservation.imbalances(conservation.balances(session)) == []
            assert session.scalar(select(func.sum(CallAggregate.calls))) == self.told.calls_gone
        assert verified(self.engine, self.clock, folder) == 0

    def _goes_off(self) -> int:
        """Return for how many days the worker is off from today on; mostly none."""
        return self.chance.randint(2, 20) if self.chance.random() < 1 / 120 else 0

    def _chances(self, number: int) -> None:
        """Let people act: something happens every few weeks."""
        people, chance = self.people, self.chance
        if number % 7 == 0:
            people.settle_policies()
        if chance.random() < 1 / 60:
            people.hold(self.clock.now())
        if chance.random() < 1 / 90 or len(self.told.holds) > 5:
            people.release_hold()
        if chance.random() < 1 / 120 or len(people.open) < 3:
            people.account()
        if chance.random() < 1 / 90 and people.open:
            people.number(chance.choice(people.refs()))
        if chance.random() < 1 / 90:
            people.release_number()
        if chance.random() < 1 / 200 and len(people.open) > 3:
            people.close_account()

    def _die(self) -> None:
        """Die in the middle of a run, in this process; nothing may be gone that is not due."""
        due = self.told.due(self.clock.now())
        with self.reaper.killing(self.chance.randint(1, self._statements)):
            purge(self.engine, self.settings, self.clock, holder="worker", largest=12).run(_Impatient(), only=CLASSES)
        self._partly(due)
        self.happened["kills"] += 1

    def _sigkill(self) -> None:
        due = self.told.due(self.clock.now())
        self.happened["sigkills"] += kill_a_worker(self.settings, self.clock.now(), [data_class.value for data_class in CLASSES], self.chance)
        self._partly(due)

    def _partly(self, due: Mapping[str, set[Key]]) -> None:
        """After a death: nothing is gone that was not due; what is gone, the reference is told of. Then time passes, and the lease runs out."""
        for table, there in self._stored():
            missing = set(self.told.rows[table]) - there
            early = sorted(missing - due.get(table, set()), key=str)
            assert not early, f"{self._when()}: gone early from {table}: {early[:5]}"
            self.told.take(table, missing)
        self.clock.set(self.clock.now() + timedelta(minutes=3))

    def _same(self, what: str) -> None:
        """The store holds what the reference says, and nothing else."""
        for table, there in self._stored():
            should = set(self.told.rows[table])
            early, late = sorted(should - there, key=str)[:5], sorted(there - should, key=str)[:5]
            assert there == should, f"{self._when()}: {what}: {table}: early or lost {early}, late {late} of {len(should)}"
        assert self._held() == self.told.kept, f"{self._when()}: {what}: what secret holds keep differs: {sorted(self._held() ^ self.told.kept, key=str)[:5]}"

    def _see(self) -> None:
        """Tell the reference of rows that acts and runs wrote."""
        with self.engine.connect() as connection:
            closed = {row.id: row.closed_at for row in connection.execute(select(Account.id, Account.closed_at))}
            of = {row.id: row.data_class for row in connection.execute(select(PurgeReceipt.id, PurgeReceipt.data_class))}
            for table, (time, account, numbers) in _SEEN.items():
                known, columns = self.told.rows[table], Base.metadata.tables[table].c
                names = [*KEYS[table], *([account] if account else []), *numbers, *([time] if time else [])]
                keys = len(KEYS[table])
                for found in connection.execute(select(*(columns[name] for name in names))):
                    key = tuple(found[:keys])
                    owner = found[keys] if account else None
                    at = found[-1] if time else closed[owner]
                    if key not in known or known[key].at != at:
                        shown = found[keys + (account is not None) : len(names) - bool(time)]
                        row = Row(at, owner, frozenset(number for number in shown if number))
                        row.secret = table == "legal_hold" and key[0] in self.people.secrets
                        row.of = (of[key[0]], key[1]) if table == "purge_receipt_day" else ()
                        self.told.add(table, key, row)

    def _stored(self) -> Iterator[tuple[str, set[Key]]]:
        with self.engine.connect() as connection:
            for table, keys in KEYS.items():
                of = Base.metadata.tables[table].c
                yield table, {tuple(row) for row in connection.execute(select(*(of[name] for name in keys)))}

    def _held(self) -> set[tuple[str, str, Key]]:
        with Session(self.engine) as session:
            found = session.execute(select(HeldRow.hold_id, HeldRow.table_name, HeldRow.row)).all()
        return {(hold, table, tuple(_value(name, json.loads(row)[name]) for name in KEYS[table])) for hold, table, row in found}

    def _when(self) -> str:
        return f"{self.clock.now().isoformat()} ({self.happened['runs']} runs)"


def _value(name: str, stored: Any) -> Any:
    """Return a key's value as the table had it."""
    if name == "day":
        return date.fromisoformat(stored)
    return datetime.fromisoformat(stored) if name.endswith("_at") else stored


@contextmanager
def reported(seed: int, world: World) -> Iterator[None]:
    """Name the seed when something is not as it should be."""
    try:
        yield
    except BaseException:
        print(f"seed {seed}: {dict(world.happened)}")  # noqa: T201  for whoever reads the failed test
        raise
