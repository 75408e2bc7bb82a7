"""Purges: cutoffs worked out from the policies, windows without gap or overlap, nothing early, legal holds as they stood, no stale worker."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from retention.verify import calendar
from retention.verify.format import ENTRIES, REASONS, Adopted, Cutoff, Finding, Receipt, RunClosed, RunStarted
from retention.verify.tree import Entry

Policies = Mapping[tuple[str, int], tuple[str, Mapping[str, Any]]]  # (policy, version) -> digest, classes
Scope = tuple[str, str, str]  # data class, table, policy
_HOLD_KINDS = {"legal_hold.placed", "legal_hold.released", "legal_hold.version"}
_ENDED = {"done", "held"}


@dataclass
class Run:
    """A purge as its entries tell it."""

    started: RunStarted
    cutoffs: dict[Scope, Cutoff]
    reached: dict[Scope, tuple[str, str]] = field(default_factory=dict)  # how far its windows go
    receipts: int = 0
    rows: int = 0
    closed: bool = False


@dataclass
class Runs:
    """Reads entries one after the other.

    Args:
        policies: those of the bundle.
        whole: does the log begin with the first entry? If not, what refers to earlier entries cannot be checked.
    """

    policies: Policies
    whole: bool
    findings: list[Finding] = field(default_factory=list)
    runs: dict[str, Run] = field(default_factory=dict)
    receipts: list[Receipt] = field(default_factory=list)
    adopted: dict[tuple[str, int], Adopted] = field(default_factory=dict)
    hold_version: int | None = None
    token: int = 0
    unchecked: int = 0  # receipts whose run began before the bundle

    def read(self, entries: Iterable[Entry]) -> None:
        """Check every entry about purges, policies and legal holds."""
        self.hold_version = 0 if self.whole else None
        for entry in entries:
            try:
                problems = self._read(entry)
            except (ValueError, OverflowError) as error:
                problems = [str(error)]
            self.findings += [Finding(ENTRIES, problem, entry.line, entry.seq) for problem in problems]

    def _read(self, entry: Entry) -> list[str]:
        if entry.kind in _HOLD_KINDS:
            return self._hold(entry)
        if entry.kind == Adopted.KIND:
            adopted = Adopted.read(entry.body)
            self.adopted[adopted.policy, adopted.policy_version] = adopted
        elif entry.kind == RunStarted.KIND:
            return self._start(RunStarted.read(entry.body), entry.at)
        elif entry.kind == Receipt.KIND:
            return self._receipt(Receipt.read(entry.body))
        elif entry.kind == RunClosed.KIND:
            return self._close(RunClosed.read(entry.body))
        return []

    def _hold(self, entry: Entry) -> list[str]:
        version = entry.body.get("hold_version")
        if type(version) is not int:
            return ["it has no version of the legal holds"]
        before, self.hold_version = self.hold_version, version
        return [] if before is None or version > before else [f"the version of the legal holds went from {before} to {version}"]

    def _holds_stand(self, version: int) -> list[str]:
        if self.hold_version is None:
            self.hold_version = version
        return [] if version == self.hold_version else [f"it looked at version {version} of the legal holds; {self.hold_version} was in force"]

    def _lease(self, token: int) -> list[str]:
        if token < self.token:
            return [f"fencing token {token} after {self.token}: a worker that had lost its lease went on"]
        self.token = token
        return []

    def _start(self, started: RunStarted, at: str) -> list[str]:
        problems = [*self._lease(started.token), *self._holds_stand(started.hold_version)]
        if started.run in self.runs:
            problems.append("a run of this id began already")
        if calendar.parse_moment(started.as_of) > calendar.parse_moment(at):
            problems.append("its cutoffs were computed for a moment after it began")
        cutoffs = [Cutoff.read(each) for each in started.cutoffs]
        self.runs[started.run] = Run(started, {(each.data_class, each.table, each.policy): each for each in cutoffs})
        if len(self.runs[started.run].cutoffs) != len(cutoffs):
            problems.append("two cutoffs for one table under one policy")
        for cutoff in cutoffs:
            problems += self._cutoff(cutoff, started.as_of)
        return problems

    def _cutoff(self, cutoff: Cutoff, as_of: str) -> list[str]:
        """Work a cutoff out from its policy."""
        what = f"the cutoff of {cutoff.data_class} in {cutoff.table}"
        digest, classes = self.policies.get((cutoff.policy, cutoff.policy_version), ("", {}))
        if digest != cutoff.policy_digest:
            return [f"{what} is of a policy that is not in the bundle ({cutoff.policy}, version {cutoff.policy_version})"]
        adopted = self.adopted.get((cutoff.policy, cutoff.policy_version))
        if adopted is None and self.whole:
            return [f"{what} is of a policy that nobody adopted ({cutoff.policy}, version {cutoff.policy_version})"]
        if adopted is not None and (adopted.policy_digest != digest or calendar.parse_moment(adopted.effective_at) > calendar.parse_moment(as_of)):
            return [f"{what} is of a policy that was not yet in force, or was adopted with another text"]
        rule = classes.get(cutoff.data_class)
        if rule is None:
            return [f"{what}: the policy has no window for that class"]
        proper = calendar.cutoff(calendar.parse_moment(as_of), rule["period"], rule["year_end"]).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return [] if cutoff.cutoff == proper else [f"{what} is {cutoff.cutoff}; by the policy ({rule['period']}) it is {proper}"]

    def _receipt(self, receipt: Receipt) -> list[str]:
        self.receipts.append(receipt)
        problems = [*_rows(receipt), *self._holds_stand(receipt.hold_version)]
        if receipt.reason not in REASONS:
            return [*problems, "its reason is none that rows may go for"]
        if receipt.reason != "window":
            bounds = (receipt.lo_at, receipt.lo_key, receipt.hi_at, receipt.hi_key)
            ruled = (receipt.cutoff, receipt.policy, receipt.policy_version, receipt.policy_digest)
            return [*problems, "only receipts of windows have a window, a cutoff, a policy"] if any(bounds) or ruled != (None,) * 4 else problems
        problems += self._lease(receipt.token)
        run = self.runs.get(receipt.run)
        if run is None:
            self.unchecked += not self.whole
            return [*problems, "its run never began"] if self.whole else problems
        if run.closed:
            problems.append("its run had ended")
        if receipt.token != run.started.token:
            problems.append("its fencing token is not that of its run")
        return problems + _window(run, receipt)

    def _close(self, closed: RunClosed) -> list[str]:
        problems = self._lease(closed.token)
        run = self.runs.get(closed.run)
        if run is None:
            return [*problems, "it never began"] if self.whole else problems
        if run.closed:
            problems.append("it had ended already")
        run.closed = True
        if (run.receipts, run.rows) != (closed.receipts, closed.rows):
            problems.append(f"it counts {closed.receipts} receipts of {closed.rows} rows; {run.receipts} of {run.rows} are here")
        if any(not _pair(pair, str) for pair in closed.outcomes):
            return [*problems, "an outcome is not a class and a word"]
        ended = {data_class for data_class, outcome in closed.outcomes if outcome in _ENDED}
        for scope, reached in run.reached.items():
            if scope[0] in ended and reached != (run.cutoffs[scope].cutoff, ""):
                problems.append(f"{scope[0]} in {scope[1]} is said to be done, but its windows end at {reached[0]}, before the cutoff")
        return problems


def _pair(found: Any, second: type) -> bool:
    """Tell whether it is a text with something of a type."""
    return isinstance(found, list) and len(found) == 2 and type(found[0]) is str and type(found[1]) is second


def _rows(receipt: Receipt) -> list[str]:
    """Check that a receipt agrees with itself."""
    if receipt.rows == 0:
        return [] if (receipt.min_t, receipt.max_t, receipt.days) == (None, None, []) else ["it has times or days, but no rows"]
    if receipt.min_t is None or receipt.max_t is None:
        return ["it has rows, but no times"]
    oldest, newest = calendar.parse_moment(receipt.min_t), calendar.parse_moment(receipt.max_t)
    if any(not _pair(pair, int) or pair[1] < 1 for pair in receipt.days):
        return ["its days are not dates with counts"]
    days = [day for day, _ in receipt.days]
    problems = []
    if days != sorted(set(days)) or not days or (days[0], days[-1]) != (calendar.day_of(oldest).isoformat(), calendar.day_of(newest).isoformat()):
        problems.append("its days are not those of its oldest and newest row")
    if sum(count for _, count in receipt.days) != receipt.rows or receipt.rows < 0:
        problems.append("its days do not add up to its rows")
    if oldest > newest:
        problems.append("its oldest row is newer than its newest")
    return problems


def _window(run: Run, receipt: Receipt) -> list[str]:
    """Check a receipt's window against its run, and take the run that far."""
    run.receipts, run.rows = run.receipts + 1, run.rows + receipt.rows
    scope = (receipt.data_class, receipt.table, receipt.policy or "")
    cutoff = run.cutoffs.get(scope)
    if cutoff is None:
        return ["its run had no cutoff for that class, table and policy"]
    problems = []
    for bound in (receipt.lo_at, receipt.hi_at):
        if bound:
            calendar.parse_moment(bound)
    if (receipt.cutoff, receipt.policy_version, receipt.policy_digest) != (cutoff.cutoff, cutoff.policy_version, cutoff.policy_digest):
        problems.append("its cutoff or policy is not that of its run")
    if receipt.max_t is not None and receipt.max_t >= cutoff.cutoff:
        problems.append(f"a row of {receipt.max_t} went before its time; the cutoff was {cutoff.cutoff}")
    before = run.reached.get(scope, ("", ""))
    if (receipt.lo_at, receipt.lo_key) != before:
        word = "overlaps" if (receipt.lo_at, receipt.lo_key) < before else "leaves a gap after"
        problems.append(f"its window {word} the one before, which ended at {before[0] or 'nothing'}")
    if not receipt.lo_at <= receipt.hi_at <= cutoff.cutoff or (receipt.max_t or "") > receipt.hi_at or (receipt.min_t or receipt.lo_at) < receipt.lo_at:
        problems.append("its window does not hold its rows, or goes past the cutoff")
    run.reached[scope] = (receipt.hi_at, receipt.hi_key)
    return problems
