"""The data map: what is held, column by column and file by file, made from the models' metadata and the list of files that the product writes.

`check` is for tests and for migrations: a column, table or file without an entry is a problem, not a gap in a report.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any

import msgspec
from sqlalchemy import MetaData

from retention.classes import CLASSES, NOT_HELD, LegalBasis, Source
from retention.files import FILE_KINDS, FileKind
from ringfence.errors import Misconfigured
from ringfence.models.base import DataClass

_KEYS = {"data_class", "purpose", "personal", "source"}
_UNMODELLED = frozenset({"alembic_version"})  # Alembic's own table: one revision id


class Kind(StrEnum):
    """What an entry of the map is about."""

    COLUMN = "column"
    FILE = "file"
    NOT_HELD = "not_held"  # a policy speaks of it, the product does not hold it


class Entry(msgspec.Struct, frozen=True):
    """One column or one kind of file."""

    kind: Kind
    place: str  # 'table.column', or where the files lie
    data_class: DataClass | None  # None for what is not held, and for the store's own file
    personal: bool
    purpose: str
    legal_basis: LegalBasis | None
    source: Source | None


class Problem(msgspec.Struct, frozen=True):
    """A gap in the map."""

    place: str
    what: str

    def __str__(self) -> str:
        """Return it in one line."""
        return f"{self.place}: {self.what}"


def entries(metadata: MetaData, files: Iterable[FileKind] = FILE_KINDS) -> list[Entry]:
    """Return the whole map: columns by table, files, and what is named as not held.

    Raises:
        Misconfigured: something has no entry, or a wrong one.
    """
    require(metadata)
    return [*_columns(metadata), *_files(files), *_not_held()]


def check(metadata: MetaData) -> list[Problem]:
    """Return every gap: columns without an entry or with a wrong one, tables without a column, classes without facts."""
    found = [Problem(data_class.value, "no entry in retention.classes.CLASSES") for data_class in DataClass if data_class not in CLASSES]
    for table in metadata.sorted_tables:
        if not table.columns:
            found.append(Problem(table.name, "a table without columns cannot be mapped"))
        for column in table.columns:
            found += [Problem(f"{table.name}.{column.name}", what) for what in _faults(column.info)]
    return found


def require(metadata: MetaData) -> None:
    """Return when the map has no gap; for the migrations and the start of the worker.

    Raises:
        Misconfigured: it has; the message names each.
    """
    problems = check(metadata)
    if problems:
        listed = "; ".join(str(problem) for problem in problems)
        raise Misconfigured(f"the data map has gaps: {listed}", hint="give each column info=about(class, purpose, ...) in ringfence/models")


def strays(stored: Mapping[str, Iterable[str]], metadata: MetaData) -> list[Problem]:
    """Return what a store holds and the models do not: tables and columns that nothing maps.

    Args:
        stored: table -> names of its columns, as the store itself tells.
        metadata: the models'.
    """
    found = []
    for table, columns in sorted(stored.items()):
        if table in _UNMODELLED:
            continue
        if table not in metadata.tables:
            found.append(Problem(table, "a table that no model describes"))
            continue
        unknown = sorted(set(columns) - set(metadata.tables[table].columns.keys()))
        found += [Problem(f"{table}.{column}", "a column that no model describes") for column in unknown]
    return found


def column_classes(metadata: MetaData) -> dict[str, DataClass]:
    """Return the data class of each column, by 'table.column'."""
    return {f"{table.name}.{column.name}": column.info["data_class"] for table in metadata.sorted_tables for column in table.columns}


def _columns(metadata: MetaData) -> Iterator[Entry]:
    for table in metadata.sorted_tables:
        for column in table.columns:
            data_class = column.info["data_class"]
            yield Entry(
                kind=Kind.COLUMN,
                place=f"{table.name}.{column.name}",
                data_class=data_class,
                personal=column.info["personal"],
                purpose=column.info["purpose"],
                legal_basis=CLASSES[data_class].basis,
                source=Source(column.info["source"]),
            )


def _files(files: Iterable[FileKind]) -> Iterator[Entry]:
    for file in files:
        yield Entry(
            kind=Kind.FILE,
            place=file.place,
            data_class=file.data_class,
            personal=file.personal,
            purpose=file.purpose,
            legal_basis=CLASSES[file.data_class].basis if file.data_class else None,
            source=file.source,
        )


def _not_held() -> Iterator[Entry]:
    for name, why in NOT_HELD.items():
        yield Entry(kind=Kind.NOT_HELD, place=name, data_class=None, personal=True, purpose=why, legal_basis=None, source=None)


def _faults(info: Mapping[Any, Any]) -> Iterator[str]:
    missing = sorted(_KEYS - set(info))
    if missing:
        yield f"lacks {', '.join(missing)}"
        return
    if not isinstance(info["data_class"], DataClass):
        yield f"{info['data_class']!r} is not a data class"
        return
    if not str(info["purpose"]).strip():
        yield "says no purpose"
    if info["source"] not in set(Source):
        yield f"{info['source']!r} is not a source; known are {', '.join(Source)}"
    if not isinstance(info["personal"], bool):
        yield "does not say whether it is personal"
    facts = CLASSES.get(info["data_class"])
    if facts and not facts.personal and info["personal"]:
        yield f"personal, but the class {info['data_class'].value} holds nothing personal and has no end"
