"""What the purge writes: runs, receipts, sealed counts, aggregates, files to remove, incidents, the lease; and policies and their approvals."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Date, Index, Integer, LargeBinary, SmallInteger, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from ringfence.models.base import Base, DataClass, UtcDateTime, about

_PROOF = DataClass.PROOF
_OPERATIONAL = DataClass.OPERATIONAL
_AGGREGATE = DataClass.AGGREGATE
_INCIDENT = DataClass.INCIDENT
COUNTER = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows by itself only in an INTEGER key


class PurgeRun(Base):
    """One run: every class is brought to its cutoff of one moment, `as_of`."""

    __tablename__ = "purge_run"
    __table_args__ = (Index("ix_purge_run_started_at", "started_at"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True, info=about(_PROOF, "identifies the run", source="system"))
    token: Mapped[int] = mapped_column(BigInteger, info=about(_PROOF, "fencing token of its lease", source="system"))
    as_of: Mapped[datetime] = mapped_column(UtcDateTime, info=about(_PROOF, "the moment its cutoffs were computed for", source="system"))
    started_at: Mapped[datetime] = mapped_column(UtcDateTime, info=about(_PROOF, "when it began", source="system"))
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=about(_PROOF, "when it ended; empty = it runs, or it died", source="system"))
    stopped: Mapped[str | None] = mapped_column(String(60), info=about(_PROOF, "which brake stopped it", source="system"))
    hold_version: Mapped[int] = mapped_column(BigInteger, info=about(_PROOF, "version of the legal holds when it began", source="system"))
    receipts: Mapped[int] = mapped_column(Integer, info=about(_PROOF, "receipts written", source="system"))
    rows: Mapped[int] = mapped_column(BigInteger, info=about(_PROOF, "rows that went", source="system"))
    commitment_key: Mapped[bytes | None] = mapped_column(
        LargeBinary(32), info=about(_PROOF, "key of its commitments; destroyed when its report is signed off", source="system")
    )


class PurgeRunClass(Base):
    """What one run had to do, and did, for one class under one policy. The cutoff is stored as it was computed."""

    __tablename__ = "purge_run_class"

    run_id: Mapped[str] = mapped_column(String(32), primary_key=True, info=about(_PROOF, "the run", source="system"))
    data_class: Mapped[str] = mapped_column(String(20), primary_key=True, info=about(_PROOF, "the class", source="system"))
    policy: Mapped[str] = mapped_column(String(40), primary_key=True, info=about(_PROOF, "the policy's key", source="system"))
    policy_version: Mapped[int] = mapped_column(Integer, info=about(_PROOF, "its version", source="system"))
    policy_digest: Mapped[str] = mapped_column(String(64), info=about(_PROOF, "digest of what it says", source="system"))
    period: Mapped[str] = mapped_column(String(20), info=about(_PROOF, "the window, ISO 8601", source="system"))
    start_event: Mapped[str] = mapped_column(String(20), info=about(_PROOF, "what the window runs from", source="system"))
    year_end: Mapped[str | None] = mapped_column(String(5), info=about(_PROOF, "the financial year's end, when it runs from there", source="system"))
    cutoff_at: Mapped[datetime] = mapped_column(UtcDateTime, info=about(_PROOF, "up to when rows were due", source="system"))
    started_at: Mapped[datetime] = mapped_column(UtcDateTime, info=about(_PROOF, "when it was planned", source="system"))
    due: Mapped[int] = mapped_column(BigInteger, info=about(_PROOF, "rows and files due when it was planned", source="system"))
    rows: Mapped[int] = mapped_column(BigInteger, info=about(_PROOF, "rows that went", source="system"))
    held: Mapped[int] = mapped_column(BigInteger, info=about(_PROOF, "rows that legal holds keep and anybody may know of", source="system"))
    files: Mapped[int] = mapped_column(Integer, info=about(_PROOF, "files given up", source="system"))
    batches: Mapped[int] = mapped_column(Integer, info=about(_PROOF, "transactions", source="system"))
    longest_ms: Mapped[int] = mapped_column(Integer, info=about(_PROOF, "the longest of them", source="system"))
    oldest_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=about(_PROOF, "time of the oldest row that was due", source="system"))
    outcome: Mapped[str | None] = mapped_column(String(20), info=about(_PROOF, "done, nothing_due, contended, held or failed", source="system"))
    reason: Mapped[str | None] = mapped_column(String(60), info=about(_PROOF, "why it failed or stopped, in a word", source="system"))
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=about(_PROOF, "when", source="system"))


class PurgeReceipt(Base):
    """One transaction's deletions from one table; the same facts stand in the audit log. Bounds are texts as there: '' = since ever."""

    __tablename__ = "purge_receipt"
    __table_args__ = (Index("ix_purge_receipt_at", "at"),)

    id: Mapped[int] = mapped_column(COUNTER, primary_key=True, autoincrement=True, info=about(_PROOF, "identifies the receipt", source="system"))
    run_id: Mapped[str] = mapped_column(String(32), info=about(_PROOF, "the run, or the request", source="system"))
    token: Mapped[int] = mapped_column(BigInteger, info=about(_PROOF, "fencing token of the lease", source="system"))
    at: Mapped[datetime] = mapped_column(UtcDateTime, info=about(_PROOF, "when", source="system"))
    data_class: Mapped[str] = mapped_column(String(20), info=about(_PROOF, "the class", source="system"))
    table_name: Mapped[str] = mapped_column(String(40), info=about(_PROOF, "the table", source="system"))
    reason: Mapped[str] = mapped_column(String(20), info=about(_PROOF, "window, erasure, correction or moved", source="system"))
    policy: Mapped[str | None] = mapped_column(String(40), info=about(_PROOF, "the policy", source="system"))
    policy_version: Mapped[int | None] = mapped_column(Integer, info=about(_PROOF, "its version", source="system"))
    policy_digest: Mapped[str | None] = mapped_column(String(64), info=about(_PROOF, "digest of what it says", source="system"))
    cutoff_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=about(_PROOF, "up to when rows were due", source="system"))
    lo_at: Mapped[str] = mapped_column(String(27), info=about(_PROOF, "where its window begins", source="system"))
    lo_key: Mapped[str] = mapped_column(String(32), info=about(_PROOF, "and after which key", source="system"))
    hi_at: Mapped[str] = mapped_column(String(27), info=about(_PROOF, "where its window ends", source="system"))
    hi_key: Mapped[str] = mapped_column(String(32), info=about(_PROOF, "and with which key", source="system"))
    rows: Mapped[int] = mapped_column(BigInteger, info=about(_PROOF, "rows that went", source="system"))
    oldest_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=about(_PROOF, "time of the oldest of them", source="system"))
    newest_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=about(_PROOF, "time of the newest of them", source="system"))
    hold_version: Mapped[int] = mapped_column(BigInteger, info=about(_PROOF, "version of the legal holds then", source="system"))
    commitment: Mapped[str] = mapped_column(String(64), info=about(_PROOF, "keyed hash of the rows' keys", source="system"))


# A worker that lost its lease and writes the same window again is rejected by the store.
Index(
    "uq_purge_receipt_window",
    PurgeReceipt.run_id,
    PurgeReceipt.data_class,
    PurgeReceipt.table_name,
    PurgeReceipt.policy,
    PurgeReceipt.lo_at,
    PurgeReceipt.lo_key,
    unique=True,
    postgresql_where=PurgeReceipt.reason == "window",
    sqlite_where=PurgeReceipt.reason == "window",
)


class PurgeReceiptDay(Base):
    """How many of a receipt's rows were of which day in London."""

    __tablename__ = "purge_receipt_day"
    __table_args__ = (Index("ix_purge_receipt_day_day", "day"),)

    receipt_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False, info=about(_PROOF, "the receipt", source="system"))
    day: Mapped[date] = mapped_column(Date, primary_key=True, info=about(_PROOF, "the day the rows are of", source="system"))
    rows: Mapped[int] = mapped_column(BigInteger, info=about(_PROOF, "how many", source="system"))
    at: Mapped[datetime] = mapped_column(UtcDateTime, info=about(_PROOF, "when they went", source="system"))


class SealedDay(Base):
    """Rows of a class taken in on a day of London, counted when the day was over; what came later is counted apart, by whoever booked it."""

    __tablename__ = "sealed_day"
    __table_args__ = (Index("ix_sealed_day_ends_at", "ends_at"),)

    data_class: Mapped[str] = mapped_column(String(20), primary_key=True, info=about(_PROOF, "the class", source="system"))
    day: Mapped[date] = mapped_column(Date, primary_key=True, info=about(_PROOF, "the day in London", source="system"))
    begins_at: Mapped[datetime] = mapped_column(UtcDateTime, info=about(_PROOF, "its first moment", source="system"))
    ends_at: Mapped[datetime] = mapped_column(UtcDateTime, info=about(_PROOF, "the next day's first moment", source="system"))
    rows: Mapped[int] = mapped_column(BigInteger, info=about(_PROOF, "rows taken in", source="system"))
    sealed_at: Mapped[datetime] = mapped_column(UtcDateTime, info=about(_PROOF, "when the day was sealed", source="system"))
    late: Mapped[int] = mapped_column(BigInteger, info=about(_PROOF, "rows booked after that", source="system"))
    late_told: Mapped[int] = mapped_column(BigInteger, info=about(_PROOF, "how many of those the audit log tells of", source="system"))


class CallAggregate(Base):
    """Purged calls by hour, trunk and kind of destination: nobody's (claims ON-3.2b, VF-5).

    Hours of fewer than five calls are joined (`hour` is -1), and what is still small then (`trunk` and `destination` are '*').
    """

    __tablename__ = "call_aggregate"

    day: Mapped[date] = mapped_column(Date, primary_key=True, info=about(_AGGREGATE, "the day in London", source="system"))
    hour: Mapped[int] = mapped_column(
        SmallInteger, primary_key=True, autoincrement=False, info=about(_AGGREGATE, "the hour of the clock there; -1 = several", source="system")
    )
    trunk: Mapped[str] = mapped_column(String(40), primary_key=True, info=about(_AGGREGATE, "the trunk they left by", source="system"))
    destination: Mapped[str] = mapped_column(String(20), primary_key=True, info=about(_AGGREGATE, "what kind of number was reached", source="system"))
    calls: Mapped[int] = mapped_column(BigInteger, info=about(_AGGREGATE, "calls", source="system"))
    answered: Mapped[int | None] = mapped_column(BigInteger, info=about(_AGGREGATE, "of which answered; empty = suppressed", source="system"))
    billable_seconds: Mapped[int | None] = mapped_column(BigInteger, info=about(_AGGREGATE, "their answered time; empty = suppressed", source="system"))


class FileTombstone(Base):
    """A file that must go: written with the receipt's transaction, removed after it, tried again until it is gone."""

    __tablename__ = "file_tombstone"
    __table_args__ = (Index("ix_file_tombstone_removed_at", "removed_at"),)

    id: Mapped[int] = mapped_column(COUNTER, primary_key=True, autoincrement=True, info=about(_PROOF, "identifies it", source="system"))
    node: Mapped[str] = mapped_column(String(40), info=about(_PROOF, "on which node", source="system"))
    run_id: Mapped[str] = mapped_column(String(32), info=about(_PROOF, "the run, or the request", source="system"))
    data_class: Mapped[str] = mapped_column(String(20), info=about(_PROOF, "the class", source="system"))
    folder: Mapped[str] = mapped_column(String(10), info=about(_PROOF, "which of the node's folders", source="system"))
    path: Mapped[str] = mapped_column(String(255), info=about(_PROOF, "the file, below the folder", personal=True, source="system"))
    bytes: Mapped[int] = mapped_column(BigInteger, info=about(_PROOF, "its size", source="system"))
    newest_at: Mapped[datetime] = mapped_column(UtcDateTime, info=about(_PROOF, "time of the newest datum in it", source="system"))
    made_at: Mapped[datetime] = mapped_column(UtcDateTime, info=about(_PROOF, "when it was given up", source="system"))
    removed_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=about(_PROOF, "when it was gone", source="system"))


class Incident(Base):
    """Something a person must look at: a brake, a late or missed run, an imbalance."""

    __tablename__ = "incident"
    __table_args__ = (Index("ix_incident_opened_at", "opened_at"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True, info=about(_INCIDENT, "identifies it", source="system"))
    cause: Mapped[str] = mapped_column(String(60), info=about(_INCIDENT, "what happened, in a word", source="system"))
    data_class: Mapped[str | None] = mapped_column(String(20), info=about(_INCIDENT, "the class it is about", source="system"))
    run_id: Mapped[str | None] = mapped_column(String(32), info=about(_INCIDENT, "the run it is about", source="system"))
    detail: Mapped[str] = mapped_column(String(400), info=about(_INCIDENT, "figures, and the next step; nothing about a person", source="system"))
    opened_at: Mapped[datetime] = mapped_column(UtcDateTime, info=about(_INCIDENT, "when it was found", source="system"))
    closed_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=about(_INCIDENT, "when it was settled", source="system"))
    outcome: Mapped[str | None] = mapped_column(String(40), info=about(_INCIDENT, "how: confirmed, mended, ..."))
    closed_by: Mapped[str | None] = mapped_column(String(60), info=about(_INCIDENT, "the operator who settled it", personal=True))


class Lease(Base):
    """Who may do something that only one may do. The token grows with each taking; what an earlier holder writes is refused by it."""

    __tablename__ = "lease"

    name: Mapped[str] = mapped_column(String(20), primary_key=True, info=about(_OPERATIONAL, "what it is for"))
    holder: Mapped[str] = mapped_column(String(80), info=about(_OPERATIONAL, "the process that has it", source="system"))
    token: Mapped[int] = mapped_column(BigInteger, info=about(_OPERATIONAL, "fencing token", source="system"))
    until: Mapped[datetime] = mapped_column(UtcDateTime, info=about(_OPERATIONAL, "when it ends unless renewed", source="system"))
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime, info=about(_OPERATIONAL, "the holder's heartbeat", source="system"))


class PolicyVersion(Base):
    """A version of a retention policy: its text, who proposed and approved it, when customers were told, when it took effect."""

    __tablename__ = "policy_version"

    policy: Mapped[str] = mapped_column(String(40), primary_key=True, info=about(_PROOF, "the policy's key"))
    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False, info=about(_PROOF, "its version"))
    sha256: Mapped[str] = mapped_column(String(64), info=about(_PROOF, "of the text", source="system"))
    text: Mapped[str] = mapped_column(Text, info=about(_PROOF, "the policy's file"))
    document: Mapped[Any] = mapped_column(JSON, info=about(_PROOF, "its windows, as bundles show them", source="system"))
    digest: Mapped[str] = mapped_column(String(64), info=about(_PROOF, "of the document; receipts name it", source="system"))
    effective: Mapped[date] = mapped_column(Date, info=about(_PROOF, "the London day from which it is to hold"))
    proposed_by: Mapped[str] = mapped_column(String(60), info=about(_PROOF, "the operator who wants it", personal=True))
    proposed_at: Mapped[datetime] = mapped_column(UtcDateTime, info=about(_PROOF, "when", source="system"))
    approved_by: Mapped[str] = mapped_column(String(60), info=about(_PROOF, "the second operator", personal=True))
    approved_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=about(_PROOF, "when", source="system"))
    announced_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=about(_PROOF, "when customers were told", source="system"))
    adopted_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=about(_PROOF, "when it took effect here", source="system"))


class AccountPolicy(Base):
    """An account whose data another policy governs than the operator's default."""

    __tablename__ = "account_policy"

    account_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False, info=about(DataClass.ACCOUNT, "the account", personal=True))
    policy: Mapped[str] = mapped_column(String(40), info=about(DataClass.ACCOUNT, "the policy's key"))
    since: Mapped[datetime] = mapped_column(UtcDateTime, info=about(DataClass.ACCOUNT, "from when", source="system"))


class ReadBarrier(Base):
    """Up to when rows are past their window, from a moment on: written ahead by the worker, so that reading needs no calendar and no worker."""

    __tablename__ = "read_barrier"

    data_class: Mapped[str] = mapped_column(String(20), primary_key=True, info=about(_OPERATIONAL, "the class"))
    policy: Mapped[str] = mapped_column(String(40), primary_key=True, info=about(_OPERATIONAL, "the policy; empty = of accounts without their own"))
    valid_from: Mapped[datetime] = mapped_column(UtcDateTime, primary_key=True, info=about(_OPERATIONAL, "from when", source="system"))
    cutoff_at: Mapped[datetime] = mapped_column(UtcDateTime, info=about(_OPERATIONAL, "rows before this moment are shown to nobody", source="system"))
