"""The check on what deletion leaves behind: free pages, the store's log, and files that were given up."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from retention.checks.windows import ALLOWED
from retention.claims.model import Check, Context, Finding, Status
from ringfence.queries import proof, vacuum
from ringfence.queries.sqlite_pages import FreePages, free_pages

_PAGES = 20_000  # that are read: 80 MB
_TRIES = 2  # a checkpoint that goes on while pages are read mixes old and new


def purged_unfindable(context: Context) -> Finding:
    """Look for what is left of deleted rows: on SQLite in free pages; on PostgreSQL whether space is given back at all, for its files cannot be read."""
    left = [{"node": node, "data_class": name, "files": count} for node, name, count in proof.open_files(context.session, context.now - ALLOWED)]
    result: dict[str, Any] = {"files_given_up_and_still_there": left}
    if context.session.get_bind().dialect.name == "sqlite":
        return _sqlite(context, result)
    unvacuumed = vacuum.switched_off(context.session)
    result |= {"tables_without_vacuum": unvacuumed, "dead_rows": vacuum.dead_rows(context.session)}
    if left or unvacuumed:
        return Finding(Status.FAIL, result, _reason(left, f"{len(unvacuumed)} table(s) never give deleted rows' space back" if unvacuumed else ""))
    return Finding(Status.NOT_CHECKABLE, result, "PostgreSQL's files cannot be read through it: deleted rows' space is reused, and whole months are dropped")


def _sqlite(context: Context, result: dict[str, Any]) -> Finding:
    path = Path(str(context.session.get_bind().engine.url.database))
    secure = vacuum.overwrites(context.session)
    found = FreePages(0, 0, 0)
    for _ in range(_TRIES):
        found = free_pages(path, _PAGES)
        if not found.dirty:
            break
    log = Path(f"{path}-wal")
    context.looked("the free pages of the store's file, as bytes", file=str(path), most=_PAGES)
    result |= {"secure_delete": secure, "free_pages": found.pages, "read": found.read, "with_remains": found.dirty}
    result["log_bytes"] = log.stat().st_size if log.exists() else 0
    reason = f"{found.dirty} free page(s) hold remains of deleted rows" if found.dirty else "" if secure else "freed pages are not overwritten"
    if result["files_given_up_and_still_there"] or reason:
        return Finding(Status.FAIL, result, _reason(result["files_given_up_and_still_there"], reason))
    return Finding(Status.PASS, result)


def _reason(left: list[dict[str, Any]], other: str) -> str:
    files = f"{sum(each['files'] for each in left)} file(s) were given up and are still there" if left else ""
    return ", ".join(part for part in (other, files) if part)


CHECKS: Mapping[str, Check] = MappingProxyType({"purged_unfindable": purged_unfindable})
