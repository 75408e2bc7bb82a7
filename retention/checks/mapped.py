"""Checks on the data map: that everything held has a class, a reason, a source and an end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from retention import datamap
from retention.claims.model import Check, Context, Finding, verdict
from retention.classes import CLASSES, NOT_HELD, Action, Source
from retention.files import FILE_KINDS, Folder, folders, unmapped
from retention.policies.model import Policy
from ringfence.models.base import DataClass
from ringfence.queries.schema import stored_columns

_WALKED = (Folder.HOME, Folder.LOG, Folder.SPOOL)
_MOST = 100  # places that are named


def every_column_ends(context: Context) -> Finding:
    """Find columns and files without a class, and classes of personal data without a window."""
    stored = stored_columns(context.session)
    problems = [*datamap.check(context.metadata), *datamap.strays(stored, context.metadata)]
    files = sorted(unmapped(_files(context), folders(context.settings)))
    endless = [place for policy, data_class in _used(context) if (place := _endless(policy, data_class))]
    places = [str(problem) for problem in problems] + [f"a file that nothing maps: {path}" for path in files] + endless
    result = {"tables": len(stored), "columns": sum(map(len, stored.values())), "files_unmapped": len(files), "without_an_end": places[:_MOST]}
    return verdict(len(places), result, f"{len(places)} place(s) without a class or an end")


def third_party_windows(context: Context) -> Finding:
    """List the columns that hold third parties' numbers or addresses, with their windows."""
    columns = [
        (f"{table.name}.{column.name}", column.info["data_class"])
        for table in context.metadata.sorted_tables
        for column in table.columns
        if column.info.get("source") == Source.CARRIER and column.info.get("personal")
    ]
    windows = {
        place: {policy.key: str(policy.rules[data_class].window) for policy in context.policies.all if policy.rules[data_class].window is not None}
        for place, data_class in columns
    }
    context.looked("columns of the data map with source 'carrier' that are personal; windows of the policies in force")
    endless = [place for place, found in windows.items() if len(found) < len(context.policies.all)]
    return verdict(len(endless), {"columns": windows, "without_a_window": endless}, f"{len(endless)} column(s) without a window")


def legal_basis_named(context: Context) -> Finding:
    """Find data classes without a legal basis."""
    context.looked("retention.classes.CLASSES: the legal basis of each data class")
    bases = {each.value: CLASSES[each].basis.value if each in CLASSES and CLASSES[each].basis else None for each in DataClass}
    without = [name for name, basis in bases.items() if not basis]
    return verdict(len(without), {"classes": bases, "without_a_basis": without}, f"{len(without)} class(es) without a legal basis")


def sources_named(context: Context) -> Finding:
    """Find columns and files without a source."""
    context.looked("columns of the data map and kinds of file: who each comes from")
    found = {f"{table.name}.{column.name}": column.info.get("source") for table in context.metadata.sorted_tables for column in table.columns}
    found |= {kind.place: kind.source.value if kind.source else None for kind in FILE_KINDS}
    known = set(Source)
    without = [place for place, source in found.items() if source not in known]
    counts = {source.value: sum(1 for each in found.values() if each == source) for source in Source}
    return verdict(len(without), {"by_source": counts, "without_a_source": without[:_MOST]}, f"{len(without)} place(s) without a source")


def not_held_named(context: Context) -> Finding:
    """List what policies speak of and the product does not hold."""
    context.looked("retention.classes.NOT_HELD, against the names of tables and columns that the store has")
    stored = stored_columns(context.session)
    named = {*stored, *(column for columns in stored.values() for column in columns)}
    held = sorted(name for name in NOT_HELD if name in named)
    return verdict(len(held), {"not_held": dict(NOT_HELD), "held_after_all": held}, f"{', '.join(held)}: named as not held, and there")


def legal_sources_named(context: Context) -> Finding:
    """Find windows and minimums without a legal source, in the policies in force."""
    context.looked("every rule of the policies in force: its legal source", policies=", ".join(f"{each.key} {each.version}" for each in context.policies.all))
    rules = [(f"{policy.key}.{name.value}", rule) for policy in context.policies.all for name, rule in policy.rules.items()]
    without = [f"{place}: window" for place, rule in rules if not rule.legal.strip()]
    without += [f"{place}: minimum" for place, rule in rules if rule.minimum and not rule.minimum_legal.strip()]
    result = {
        "windows": {place: {"window": str(rule.window), "legal": rule.legal} for place, rule in rules if rule.window},
        "minimums": {place: {"minimum": str(rule.minimum), "legal": rule.minimum_legal} for place, rule in rules if rule.minimum},
        "without_a_source": without,
    }
    return verdict(len(without), result, f"{len(without)} window(s) or minimum(s) without a legal source")


def _files(context: Context) -> Iterator[Path]:
    where = folders(context.settings)
    roots = sorted({where[folder] for folder in _WALKED})
    outermost = [root for root in roots if not any(root != other and root.is_relative_to(other) for other in roots)]
    context.looked("every file below the folders that this node writes to", folders=[str(root) for root in outermost])
    return (path for root in outermost for path in root.rglob("*") if path.is_file() and not path.is_symlink())


def _used(context: Context) -> Iterator[tuple[Policy, DataClass]]:
    classes = sorted({info["data_class"] for table in context.metadata.sorted_tables for column in table.columns if "data_class" in (info := column.info)})
    return ((policy, data_class) for policy in context.policies.all for data_class in classes)


def _endless(policy: Policy, data_class: DataClass) -> str:
    rule = policy.rules.get(data_class)
    personal = data_class not in CLASSES or CLASSES[data_class].personal
    if not personal or (rule is not None and rule.window is not None and rule.action is not Action.KEEP):
        return ""
    return f"class {data_class.value} has no window in {policy.key}"


CHECKS: Mapping[str, Check] = MappingProxyType(
    {
        "every_column_ends": every_column_ends,
        "third_party_windows": third_party_windows,
        "legal_basis_named": legal_basis_named,
        "sources_named": sources_named,
        "not_held_named": not_held_named,
        "legal_sources_named": legal_sources_named,
    }
)
