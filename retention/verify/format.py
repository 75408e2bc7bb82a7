"""The evidence bundle, version 1: its files, and what the entries in it say. Described in docs/design/audit.md.

The purge makes its entries with these classes too: `append(session, clock, Receipt.KIND, **receipt.fields())`.
Moments are UTC texts with six decimals and Z; days are dates of London; `""` as a bound means 'since ever'.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, ClassVar, Self, get_args, get_origin, get_type_hints

NAME, VERSION = "ringfence-evidence", 1
MANIFEST, SIGNATURE = "manifest.json", "manifest.note"
ENTRIES, CHECKPOINTS, POLICIES, HOLDS, CONSERVATION = "entries.jsonl", "checkpoints.jsonl", "policies.jsonl", "holds.jsonl", "conservation.jsonl"
PARTS = (ENTRIES, CHECKPOINTS, POLICIES, HOLDS, CONSERVATION)
REASONS = ("window", "erasure", "correction", "moved")


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be, and where."""

    file: str
    message: str
    line: int | None = None  # from 1
    seq: int | None = None  # of the audit entry

    def __str__(self) -> str:
        """Return it as one line."""
        place = self.file + (f":{self.line}" if self.line is not None else "") + (f" (entry {self.seq})" if self.seq is not None else "")
        return f"{place}: {self.message}"


@cache
def _types(found: type) -> dict[str, tuple[type, ...]]:
    """Return the types that each field of a dataclass may have."""
    hints = {name: hint for name, hint in get_type_hints(found).items() if get_origin(hint) is not ClassVar}
    either = {name: get_args(hint) if type(None) in get_args(hint) else (hint,) for name, hint in hints.items()}
    return {name: tuple(get_origin(each) or each for each in kinds) for name, kinds in either.items()}


class Fields:
    """What a mapping must hold: exactly the fields of a dataclass, with their types."""

    @classmethod
    def read(cls, found: Any) -> Self:
        """Return the mapping as an object.

        Raises:
            ValueError: a field is missing, one is too many, or one has another type.
        """
        types = _types(cls)  # type: ignore[arg-type]  # a class is hashable
        if not isinstance(found, dict) or found.keys() != types.keys():
            raise ValueError(f"its fields are not those of {cls.__name__}")
        for name, allowed in types.items():
            if type(found[name]) not in allowed:
                raise ValueError(f"{name} has a type that it cannot have")
        return cls(**found)

    def fields(self) -> dict[str, Any]:
        """Return the fields as an entry holds them."""
        return asdict(self)  # type: ignore[call-overload,no-any-return]  # every subclass is a dataclass


@dataclass(frozen=True)
class Cutoff(Fields):
    """What one run deletes up to, in one table, under one policy."""

    data_class: str
    table: str
    policy: str
    policy_version: int
    policy_digest: str  # SHA-256 of the policy's line in policies.jsonl
    cutoff: str


@dataclass(frozen=True)
class RunStarted(Fields):
    """A purge begins."""

    KIND: ClassVar[str] = "purge.started"
    run: str
    token: int  # of the lease; never falls
    as_of: str  # the moment the cutoffs were computed for
    hold_version: int
    cutoffs: list[dict[str, Any]]  # each a Cutoff


@dataclass(frozen=True)
class Receipt(Fields):
    """One transaction's deletions from one table.

    With the reason `window` it covers the keyset window after (lo_at, lo_key) up to and with (hi_at, hi_key). A run's windows in a table follow each
    other without a gap from ("", "") to (cutoff, ""); those without rows may be joined. Keys are keyed hashes of row keys, or "" when the
    window ends between two moments. Other reasons have no window, no cutoff and no policy; `run` is then the request's id.
    """

    KIND: ClassVar[str] = "purge.receipt"
    run: str
    token: int
    data_class: str
    table: str
    lo_at: str
    lo_key: str
    hi_at: str
    hi_key: str
    rows: int
    min_t: str | None  # of the rows' own time; None without rows
    max_t: str | None
    days: list[list[Any]]  # [day, rows] for each London day, in order; adds up to `rows`
    cutoff: str | None
    policy: str | None
    policy_version: int | None
    policy_digest: str | None
    hold_version: int  # newest when the rows went
    reason: str
    commitment: str  # keyed Merkle root over the rows; the key is destroyed when the report is signed off


@dataclass(frozen=True)
class RunClosed(Fields):
    """A purge ends."""

    KIND: ClassVar[str] = "purge.closed"
    run: str
    token: int
    receipts: int  # with the reason `window`
    rows: int
    outcomes: list[list[str]]  # [data class, done | nothing_due | contended | held | failed]


@dataclass(frozen=True)
class Intake(Fields):
    """Rows of a class that were taken in on a day: the sealed count, or what came after the seal."""

    SEALED: ClassVar[str] = "intake.sealed"
    LATE: ClassVar[str] = "intake.late"
    data_class: str
    day: str
    rows: int


@dataclass(frozen=True)
class Adopted(Fields):
    """A policy version takes effect."""

    KIND: ClassVar[str] = "policy.adopted"
    policy: str
    policy_version: int
    policy_digest: str
    effective_at: str


@dataclass(frozen=True)
class Hold(Fields):
    """A line of holds.jsonl: a legal hold that may be shown to the reader of this bundle."""

    hold: str
    data_class: str | None  # None = every class
    placed_version: int
    released_version: int | None
    review_by: str | None  # day


@dataclass(frozen=True)
class Balance(Fields):
    """A line of conservation.jsonl: sealed + late = live + window + erasure + correction + moved."""

    data_class: str
    day: str
    sealed: int
    late: int
    live: int  # counted in the store when the bundle was made
    window: int
    erasure: int
    correction: int
    moved: int


@dataclass(frozen=True)
class Manifest(Fields):
    """What the bundle holds."""

    format: str
    version: int
    origin: str
    made_at: str
    first: int  # sequence number of the first entry
    size: int  # of the tree; the last entry is size - 1
    left: list[str]  # hex roots of the perfect subtrees before `first`, largest first
    files: dict[str, dict[str, Any]]  # name -> {bytes, lines, sha256}


def canonical(value: Any) -> str:
    """Return the one JSON text of a value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def read_json(text: str) -> Any:
    """Return the value of a JSON text that is written in the one proper way.

    Raises:
        ValueError: it is not JSON, or is written otherwise.
    """
    try:
        value = json.loads(text)
        proper = canonical(value)
    except (ValueError, RecursionError) as error:
        raise ValueError("this is not JSON") from error
    if proper != text:
        raise ValueError("this is not written in the one proper way")
    return value


def manifest_statement(digest: str) -> str:
    """Return the text that is signed for a manifest."""
    return f"{NAME} {VERSION}\nsha256 {digest}\n"
