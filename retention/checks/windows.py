"""Checks on windows: nothing is there that had to go, and nothing went before it was due.

A row that became due within the last day is not late yet: the purge runs once a day, and nobody can read the row meanwhile.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

import msgspec

from retention.calendar import cutoff, parse_period, parse_year_end
from retention.claims.model import Check, Context, Finding, Status, verdict
from retention.files import Folder, folders, kind_of
from retention.purge import conservation, files
from retention.purge.catalogue import CATALOGUE
from retention.purge.planner import items_of
from ringfence.clock import from_epoch
from ringfence.models.base import DataClass
from ringfence.queries import conservation as counts
from ringfence.queries import holds, ledger, proof, runs

ALLOWED = timedelta(days=1)
_FILES = (DataClass.LEDGER, DataClass.EXPORT)  # where copies of calls lie
_MOST = 20  # findings that are shown


class LateRows(msgspec.Struct, frozen=True):
    """Rows of one table that are there and should not be."""

    data_class: str
    policy: str
    table: str
    rows: int
    more: bool
    oldest: datetime | None


def call_log_window(context: Context) -> Finding:
    """Look for calls past their window in every place, and for calls that went early or without a receipt."""
    late = late_rows(context, (DataClass.CALL_LOG,))
    cutoffs = [at for policy in context.policies.all if (at := policy.cutoff(DataClass.CALL_LOG, context.now - ALLOWED))]
    legs = proof.orphaned_legs(context.session, min(each.at for each in cutoffs)) if cutoffs else 0
    copies = _copies(context)
    early = [*proof.went_early(context.session, DataClass.CALL_LOG.value, _MOST), *_wrong_cutoffs(context, DataClass.CALL_LOG)]
    unbalanced = conservation.imbalances([each for each in context.balances if each.data_class == DataClass.CALL_LOG])
    result = {
        "windows": {policy.key: str(policy.rules[DataClass.CALL_LOG].window) for policy in context.policies.all},
        "oldest_call": counts.oldest_row(context.session, "call", "started_at"),
        "oldest_file": copies["oldest"],
        "calls_past_the_window": late,
        "legs_without_a_call": legs,
        "files_past_the_window": copies["past"],
        "gone_early": early,
        "days_that_do_not_balance": [str(each) for each in unbalanced[:_MOST]],
    }
    problems = {
        "call(s) past the window": sum(each.rows for each in late),
        "leg(s) without a call": legs,
        "file(s) past the window": copies["past"],
        "receipt(s) of calls that were not due": len(early),
        "day(s) that do not balance": len(unbalanced),
    }
    return _judged(problems, result)


def closed_accounts_window(context: Context) -> Finding:
    """Look for closed accounts and their billing rows past the window."""
    late = late_rows(context, (DataClass.ACCOUNT, DataClass.BILLING))
    oldest = proof.oldest_closing(context.session)
    windows = {policy.key: str(policy.rules[DataClass.ACCOUNT].window) for policy in context.policies.all}
    result = {"windows": windows, "oldest_closing": oldest, "past_the_window": late}
    return _judged({"row(s) past the window": sum(each.rows for each in late)}, result)


def kept_with_reason(context: Context) -> Finding:
    """Look for rows past their window that neither a hold nor a minimum keeps; show how many holds keep."""
    late = late_rows(context, CATALOGUE)
    held = {}
    for policy in context.policies.all:
        for data_class in CATALOGUE:
            last = runs.class_history(context.session, data_class.value, policy.key, 1)
            if last and last[0].held:
                held[f"{data_class.value} ({policy.key})"] = last[0].held
    minimums = {
        f"{data_class.value} ({policy.key})": {"minimum": str(rule.minimum), "legal": rule.minimum_legal}
        for policy in context.policies.all
        for data_class in CATALOGUE
        if (rule := policy.rules[data_class]).minimum
    }
    result = {"kept_by_holds_at_the_last_run": held, "minimums": minimums, "kept_without_a_reason": late}
    return _judged({"row(s) kept without a reason": sum(each.rows for each in late)}, result)


def voicemail_window(context: Context) -> Finding:
    """Look at the messages in this node's mailboxes. They are files alone: the store has no row of them."""
    where = folders(context.settings)
    root = where[Folder.SPOOL] / "voicemail"
    limits = [each.at for policy in context.policies.all if (each := policy.cutoff(DataClass.VOICEMAIL, context.now - ALLOWED))]
    if not limits:
        return Finding(Status.FAIL, None, "no policy in force has a window on voicemail")
    limit = min(limits)
    messages = (path for path in root.rglob("*") if path.is_file() and (kind := kind_of(path, where)) and kind.data_class is DataClass.VOICEMAIL)
    written = sorted(from_epoch(path.stat().st_mtime) for path in messages)
    past = sum(1 for each in written if each < limit)
    context.looked("every message in this node's voicemail folder", folder=str(root), last_written_before=limit.isoformat())
    result = {"files": len(written), "oldest": written[0] if written else None, "past_the_window": past}
    return _judged({"voicemail file(s) past the window": past}, result)


def registration_window(context: Context) -> Finding:
    """Look for phones' last registrations that are past the window."""
    late = late_rows(context, (DataClass.REGISTRATION,))
    windows = {policy.key: str(policy.rules[DataClass.REGISTRATION].window) for policy in context.policies.all}
    result = {"windows": windows, "oldest": counts.oldest_row(context.session, "registration", "registered_at"), "past_the_window": late}
    return _judged({"registration(s) past the window": sum(each.rows for each in late)}, result)


def late_rows(context: Context, classes: Collection[DataClass]) -> list[LateRows]:
    """Return rows of these classes that were due a day ago or longer and that neither a hold nor a minimum keeps."""
    found = []
    for policy in context.policies.all:
        for item in items_of(policy, context.now - ALLOWED, default=policy is context.policies.default, only=classes):
            for due in item.sources:
                late = proof.late_rows(context.session, due)
                if late.rows:
                    found.append(LateRows(due.data_class, policy.key, due.source.table, late.rows, late.rows >= proof.MOST, late.oldest))
    return found


def _wrong_cutoffs(context: Context, data_class: DataClass) -> list[str]:
    """Return the runs whose cutoff was later than their window allows."""
    return [
        f"run {each.run}: its cutoff {each.cutoff.isoformat()} is after that of {each.period}"
        for each in proof.windows_used(context.session, data_class.value)
        if each.cutoff > cutoff(each.as_of, parse_period(each.period), parse_year_end(each.year_end) if each.year_end else None)
    ][:_MOST]


def _copies(context: Context) -> dict[str, Any]:
    """Return this node's files with copies of calls: the oldest of each class, and how many are past their window."""
    default = context.policies.default
    cutoffs = {each: due.at for each in _FILES if (due := default.cutoff(each, context.now - ALLOWED))}
    found = files.look(context.settings, cutoffs, ledger.list_positions(context.session, context.settings.node).values())
    where = folders(context.settings)
    context.looked(
        "this node's ledgers, journals and exports",
        node=context.settings.node,
        folders=[str(where[Folder.HOME]), str(where[Folder.LOG])],
        **{f"{each.value}_before": at.isoformat() for each, at in cutoffs.items()},
    )
    held = {each for each in _FILES if holds.covers_files(context.session, each.value)}
    past = [each for each in (*found.old, *found.kept) if each.data_class in _FILES and each.data_class not in held]
    return {"oldest": {each.value: found.oldest.get(each) for each in _FILES}, "past": len(past)}


def _judged(problems: Mapping[str, int], result: Any) -> Finding:
    return verdict(sum(problems.values()), result, ", ".join(f"{count} {what}" for what, count in problems.items() if count))


CHECKS: Mapping[str, Check] = MappingProxyType(
    {
        "call_log_window": call_log_window,
        "closed_accounts_window": closed_accounts_window,
        "kept_with_reason": kept_with_reason,
        "registration_window": registration_window,
        "voicemail_window": voicemail_window,
    }
)
