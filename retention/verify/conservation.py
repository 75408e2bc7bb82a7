"""The conservation ledger: for each class and day, what was sealed is still there or has a receipt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from retention.verify.format import CONSERVATION, ENTRIES, REASONS, Balance, Finding, Intake, Receipt, read_json
from retention.verify.tree import Entry

Day = tuple[str, str]  # data class, day


def check(lines: Sequence[str], entries: Iterable[Entry], receipts: Iterable[Receipt], forgotten: str, *, whole: bool) -> list[Finding]:
    """Return what does not balance.

    Args:
        lines: of conservation.jsonl.
        entries: of the log.
        receipts: of the log.
        forgotten: the store may forget what was sealed before this moment, once receipts account for all of it.
        whole: does the log begin with its first entry? Else earlier seals and receipts are not here: the lines can only be more than what is.
    """
    findings: list[Finding] = []
    sealed, late, sealed_at = _intake(entries, findings, whole=whole)
    gone = {reason: Counter[Day]() for reason in REASONS}
    for receipt in receipts:
        for pair in receipt.days:
            if receipt.reason in gone and isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str) and type(pair[1]) is int:
                gone[receipt.reason][receipt.data_class, pair[0]] += pair[1]
    seen: set[Day] = set()
    for number, line in enumerate(lines, 1):
        try:
            balance = Balance.read(read_json(line))
        except ValueError as error:
            findings.append(Finding(CONSERVATION, str(error), number))
            continue
        day = (balance.data_class, balance.day)
        shown = {"sealed": sealed[day], "late": late[day], **{reason: gone[reason][day] for reason in REASONS}}
        said = {name: getattr(balance, name) for name in shown}
        problems = [f"{name} is {said[name]}, the log has {count}" for name, count in shown.items() if (said[name] != count if whole else said[name] < count)]
        if day in seen:
            problems.append("it is here twice")
        if min(balance.live, *said.values()) < 0:
            problems.append("a count is below nothing")
        problems += _imbalance(balance)
        seen.add(day)
        findings += [Finding(CONSERVATION, f"{balance.data_class} of {balance.day}: {problem}", number) for problem in problems]
    for each in sorted(sealed.keys() - seen):
        if sealed_at[each] >= forgotten or sealed[each] + late[each] != sum(gone[reason][each] for reason in REASONS):
            findings.append(Finding(CONSERVATION, f"{each[0]} of {each[1]}: it was sealed, but is not accounted for"))
    if whole:
        findings += _never_sealed(sealed, gone)
    return findings


def _intake(entries: Iterable[Entry], findings: list[Finding], *, whole: bool) -> tuple[Counter[Day], Counter[Day], dict[Day, str]]:
    sealed, late, sealed_at = Counter[Day](), Counter[Day](), dict[Day, str]()
    for entry in entries:
        if entry.kind not in {Intake.SEALED, Intake.LATE}:
            continue
        try:
            intake = Intake.read(entry.body)
        except ValueError as error:
            findings.append(Finding(ENTRIES, str(error), entry.line, entry.seq))
            continue
        day = (intake.data_class, intake.day)
        if entry.kind == Intake.LATE:
            if whole and day not in sealed:
                findings.append(Finding(ENTRIES, "rows came late to a day that was not sealed", entry.line, entry.seq))
            late[day] += intake.rows
        elif day in sealed:
            findings.append(Finding(ENTRIES, f"{intake.data_class} of {intake.day} was sealed before", entry.line, entry.seq))
        else:
            sealed[day], sealed_at[day] = intake.rows, entry.at
    return sealed, late, sealed_at


def _imbalance(balance: Balance) -> list[str]:
    missing = balance.sealed + balance.late - balance.live - balance.window - balance.erasure - balance.correction - balance.moved
    if missing > 0:
        return [f"{missing} row(s) are gone without a receipt"]
    return [f"{-missing} row(s) more than were taken in"] if missing else []


def _never_sealed(sealed: Counter[Day], gone: dict[str, Counter[Day]]) -> list[Finding]:
    """Find receipts of days that should have been sealed: before the last sealed day of the class."""
    last: dict[str, str] = {}
    for name, day in sealed:
        last[name] = max(last.get(name, ""), day)
    days = {day for counter in gone.values() for day in counter}
    unsealed = [(name, day) for name, day in sorted(days - sealed.keys()) if day <= last.get(name, "")]
    return [Finding(CONSERVATION, f"{name} of {day}: rows went that no seal counted") for name, day in unsealed]
