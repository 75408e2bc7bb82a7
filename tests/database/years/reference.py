"""The naive reference: rows, rules and holds, looked through one by one. It says what must be in the store after a run, and never asks the store why."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property
from typing import Any

from tests.database.years.london import day_of, last_kept, year_end

Key = tuple[Any, ...]
# The classes in the order in which a run comes to them, with their tables.
ORDER: Mapping[str, tuple[str, ...]] = {
    "account": ("endpoint", "account", "account_policy"),
    "billing": ("invoice_line",),
    "call_log": ("call",),
    "incident": ("incident",),
    "legal_hold": ("legal_hold",),
    "numbering": ("did_ownership",),
    "plan_change": ("plan_change",),
    "proof": ("sealed_day", "purge_receipt_day", "purge_receipt", "purge_run_class", "purge_run"),
}
CLASS_OF = {table: data_class for data_class, tables in ORDER.items() for table in tables}
OF_ACCOUNTS = {"endpoint", "account", "account_policy", "invoice_line", "call", "did_ownership"}  # tables that an account's own policy governs
COUNTED = {"call_log": ("call", "leg"), "billing": ("invoice_line",)}


@dataclass(frozen=True)
class Rule:
    """How long a class is kept; from the end of the financial year when asked."""

    months: int
    days: int = 0
    year_end: bool = False
    minimum: Rule | None = None

    def over(self, day: date, today: date) -> bool:
        """Tell whether it is over today for what happened on a day."""
        done = last_kept(year_end(day) if self.year_end else day, self.months, self.days) < today
        return done and (self.minimum is None or self.minimum.over(day, today))


@dataclass
class Row:
    """A row that was put into the store."""

    at: datetime | None  # its own time; None while its event has not happened
    account: int | None = None
    numbers: frozenset[str] = frozenset()
    of: Key = ()  # what it belongs to: a leg's call, a receipt's class and day
    secret: bool = False

    @cached_property
    def day(self) -> date | None:
        """The London day of its time; a row whose time comes to pass is put in anew."""
        return None if self.at is None else day_of(self.at)


@dataclass
class Hold:
    """A legal hold as it was placed."""

    data_class: str | None = None
    account: int | None = None
    number: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    secret: bool = False

    def covers(self, data_class: str, row: Row) -> bool:
        """Tell whether it is on a row."""
        assert row.at is not None
        return (
            self.data_class in {None, data_class}
            and (self.account is None or self.account == row.account)
            and (self.number is None or self.number in row.numbers)
            and (self.since is None or self.since <= row.at)
            and (self.until is None or row.at < self.until)
        )


@dataclass
class Reference:
    """What must be there."""

    default: str
    policies: dict[str, list[tuple[date, Mapping[str, Rule]]]]  # by key: from which day which rules; the first ones hold from the beginning
    rows: dict[str, dict[Key, Row]] = field(default_factory=lambda: defaultdict(dict))
    gone: dict[str, set[Key]] = field(default_factory=lambda: defaultdict(set))
    holds: dict[str, Hold] = field(default_factory=dict)  # that are not released
    own: dict[int, str] = field(default_factory=dict)  # accounts with a policy of their own
    kept: set[tuple[str, str, Key]] = field(default_factory=set)  # (hold, table, row): what only a secret hold keeps
    legs: dict[str, list[Key]] = field(default_factory=lambda: defaultdict(list))  # by call
    calls_gone: int = 0
    _days: dict[str, set[date | None]] = field(default_factory=dict)  # by class, on which rows are still there
    _receipts: set[Any] | None = None  # whose days are still there

    def add(self, table: str, key: Key, row: Row) -> None:
        """Put a row in."""
        assert key not in self.gone[table], f"{table} {key} is late: it should be gone"
        self.rows[table][key] = row
        if table == "leg":
            self.legs[key[0]].append(key)

    def release(self, hold: str) -> None:
        """End a hold; what a secret one kept goes."""
        del self.holds[hold]
        self.kept = {each for each in self.kept if each[0] != hold}

    def due(self, now: datetime) -> dict[str, set[Key]]:
        """Return what a run at a moment must take out, by table; changes nothing."""
        taken: dict[str, set[Key]] = defaultdict(set)
        self._days, self._receipts = {}, None
        for data_class, policy, table in self._steps():
            rule = self._rules(policy, day_of(now))[data_class]
            taken[table] |= {key for key, row in self.rows[table].items() if key not in taken[table] and self._goes(table, key, row, rule, policy, now, taken)}
            if table == "call":
                taken["leg"] |= {key for key in self.rows["leg"] if key[:1] in taken["call"]}
        return taken

    def run(self, now: datetime) -> None:
        """Take out what a run at a moment takes out."""
        for table, keys in self.due(now).items():
            self.take(table, keys)

    def take(self, table: str, keys: Iterable[Key]) -> None:
        """Take rows out; what only secret holds cover is kept for their keepers."""
        for key in keys:
            row = self.rows[table].pop(key)
            self.gone[table].add(key)
            self.calls_gone += table == "call"
            if table == "account_policy":
                self.own.pop(key[0])
            covering = [name for name, hold in self.holds.items() if table in CLASS_OF and hold.secret and not row.secret and hold.covers(CLASS_OF[table], row)]
            with_it = [(table, key), *(("leg", leg) for leg in self.legs.get(key[0], ()) if table == "call")]
            self.kept |= {(name, *each) for name in covering for each in with_it}

    def _steps(self) -> Iterator[tuple[str, str, str]]:
        for data_class, tables in ORDER.items():
            for policy in sorted({self.default, *self.own.values()}):
                for table in tables:
                    if policy == self.default or table in OF_ACCOUNTS:
                        yield data_class, policy, table

    def _rules(self, policy: str, today: date) -> Mapping[str, Rule]:
        versions = self.policies[policy]
        return next((rules for begins, rules in reversed(versions) if begins <= today), versions[0][1])

    def _goes(self, table: str, key: Key, row: Row, rule: Rule, policy: str, now: datetime, taken: Mapping[str, set[Key]]) -> bool:
        day = row.day
        if day is None or not rule.over(day, day_of(now)):
            return False
        if table in OF_ACCOUNTS and self.own.get(row.account or 0, self.default) != policy:
            return False
        if not row.secret and any(not hold.secret and hold.covers(CLASS_OF[table], row) for hold in self.holds.values()):
            return False
        return not self._needed(table, key, row, taken)

    def _needed(self, table: str, key: Key, row: Row, taken: Mapping[str, set[Key]]) -> bool:
        """Tell whether something that is still there needs a row: it stays until that is gone."""

        def there(other: str) -> Iterator[tuple[Key, Row]]:
            return ((name, each) for name, each in self.rows[other].items() if name not in taken.get(other, ()))

        if table == "account":
            return any(each.account == key[0] for other in ("endpoint", "did_ownership") for _, each in there(other))
        if table == "account_policy":
            return any(each.account == key[0] for other in ("account", "endpoint", "did_ownership", "call", "invoice_line") for _, each in there(other))
        if table == "sealed_day":
            if not self._days:
                self._days = {name: {each.day for other in tables for _, each in there(other)} for name, tables in COUNTED.items()}
            return key[1] in self._days[key[0]]
        if table == "purge_receipt_day":
            return row.of in self.rows["sealed_day"] and row.of not in taken.get("sealed_day", ())
        if table == "purge_receipt":
            if self._receipts is None:
                self._receipts = {name[0] for name, _ in there("purge_receipt_day")}
            return key[0] in self._receipts
        return False
