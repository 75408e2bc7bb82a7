"""Call detail records: one row a call, one a leg; and how far each ledger was booked."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import BigInteger, Date, Index, Integer, PrimaryKeyConstraint, SmallInteger, String
from sqlalchemy.orm import Mapped, mapped_column

from ringfence.models.base import Base, DataClass, UtcDateTime, about, values_of
from ringfence.values import Direction, Disposition, ForwardingStatus, HungUpBy, RoutedBy, TargetKind

_LOG = DataClass.CALL_LOG
_OPERATIONAL = DataClass.OPERATIONAL
_PROOF = DataClass.PROOF
_BY_MONTH = {"postgresql_partition_by": "RANGE (started_at)"}  # months are made ahead, and dropped when nothing is left in them


class Call(Base):
    """One call (claims ON-2.2b, VF-2, VF-10). `call_id` is the linkedid, which names the node it came from."""

    __tablename__ = "call"
    __table_args__ = (
        Index("ix_call_started_at", "started_at"),
        # SQLite has none that does not begin with the time: each row that goes would dirty a page of it somewhere, and the purge took five times as long.
        Index("ix_call_account_id_started_at", "account_id", "started_at").ddl_if(dialect="postgresql"),
        Index("ix_call_did_started_at", "did", "started_at").ddl_if(dialect="postgresql"),
        _BY_MONTH,
    )

    call_id: Mapped[str] = mapped_column(String(48), primary_key=True, info=about(_LOG, "identifies the call", source="ledger"))
    started_at: Mapped[datetime] = mapped_column(UtcDateTime, primary_key=True, info=about(_LOG, "when it began", personal=True, source="ledger"))
    node: Mapped[str] = mapped_column(String(40), info=about(_LOG, "which Asterisk carried it", source="ledger"))
    linkedid: Mapped[str] = mapped_column(String(48), info=about(_LOG, "Asterisk's id of the call", source="ledger"))
    direction: Mapped[Direction] = mapped_column(values_of(Direction), info=about(_LOG, "inbound, outbound or internal", source="ledger"))
    account_id: Mapped[int | None] = mapped_column(Integer, info=about(_LOG, "whose call it was", personal=True, source="ledger"))
    did: Mapped[str | None] = mapped_column(String(41), info=about(_LOG, "the customer's number it used", personal=True, source="ledger"))
    caller: Mapped[str | None] = mapped_column(String(41), info=about(_LOG, "who called; kept when withheld too", personal=True, source="carrier"))
    caller_withheld: Mapped[bool] = mapped_column(info=about(_LOG, "customers never see a withheld number", source="carrier"))
    called: Mapped[str] = mapped_column(String(41), info=about(_LOG, "the number that was called", personal=True, source="ledger"))
    inbound_trunk: Mapped[str | None] = mapped_column(String(40), info=about(_LOG, "the trunk or phone it came from", source="ledger"))
    forwarded_to: Mapped[str | None] = mapped_column(
        String(40), info=about(_LOG, "the target that answered, else the last rung", personal=True, source="ledger")
    )
    trunk: Mapped[str | None] = mapped_column(String(40), info=about(_LOG, "the trunk it left by", source="ledger"))
    ringing_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=about(_LOG, "when a target first rang", source="ledger"))
    answered_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=about(_LOG, "when it was answered", source="ledger"))
    ended_at: Mapped[datetime] = mapped_column(UtcDateTime, info=about(_LOG, "when it ended", source="ledger"))
    end_estimated: Mapped[bool] = mapped_column(info=about(_LOG, "Asterisk ended under it: the end is an estimate", source="system"))
    billable_seconds: Mapped[int] = mapped_column(Integer, info=about(_LOG, "answered time, rounded up to the second", source="ledger"))
    disposition: Mapped[Disposition] = mapped_column(values_of(Disposition), info=about(_LOG, "how it ended", source="ledger"))
    forwarding_status: Mapped[ForwardingStatus] = mapped_column(values_of(ForwardingStatus), info=about(_LOG, "what became of the forwarding", source="ledger"))
    hangup_cause: Mapped[int | None] = mapped_column(SmallInteger, info=about(_LOG, "Q.850 cause", source="ledger"))
    sip_status: Mapped[int | None] = mapped_column(SmallInteger, info=about(_LOG, "last SIP status from a target, when it failed", source="ledger"))
    hung_up_by: Mapped[HungUpBy] = mapped_column(values_of(HungUpBy), info=about(_LOG, "who ended it", source="ledger"))
    routed_by: Mapped[RoutedBy] = mapped_column(values_of(RoutedBy), info=about(_LOG, "which part decided", source="ledger"))
    refusal: Mapped[str | None] = mapped_column(String(40), info=about(_LOG, "why it was refused", source="ledger"))
    plan_version: Mapped[int | None] = mapped_column(BigInteger, info=about(_LOG, "the plan that was in force", source="ledger"))


class Leg(Base):
    """One attempt to reach one target through one trunk."""

    __tablename__ = "leg"
    __table_args__ = (PrimaryKeyConstraint("started_at", "call_id", "number"), _BY_MONTH)  # by time first: the purge walks it

    call_id: Mapped[str] = mapped_column(String(48), primary_key=True, info=about(_LOG, "the call", source="ledger"))
    started_at: Mapped[datetime] = mapped_column(
        UtcDateTime, primary_key=True, info=about(_LOG, "when the call began; part of its key", personal=True, source="ledger")
    )
    number: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False, info=about(_LOG, "its place in the call, from 1", source="ledger"))
    attempt: Mapped[int] = mapped_column(SmallInteger, info=about(_LOG, "the attempt; legs that rang together share it", source="ledger"))
    kind: Mapped[TargetKind] = mapped_column(values_of(TargetKind), info=about(_LOG, "mobile, landline or SIP phone", source="ledger"))
    address: Mapped[str] = mapped_column(String(40), info=about(_LOG, "what was rung", personal=True, source="ledger"))
    trunk: Mapped[str | None] = mapped_column(String(40), info=about(_LOG, "by which trunk", source="ledger"))
    dialled_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=about(_LOG, "when it was tried", source="ledger"))
    answered_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=about(_LOG, "when it answered", source="ledger"))
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=about(_LOG, "when it ended", source="ledger"))
    disposition: Mapped[Disposition] = mapped_column(values_of(Disposition), info=about(_LOG, "how it ended", source="ledger"))
    hangup_cause: Mapped[int | None] = mapped_column(SmallInteger, info=about(_LOG, "Q.850 cause", source="ledger"))
    sip_status: Mapped[int | None] = mapped_column(SmallInteger, info=about(_LOG, "SIP status it answered with", source="ledger"))


class LedgerOffset(Base):
    """How far a ledger or journal file is booked; moves in the transaction that books."""

    __tablename__ = "ledger_offset"

    node: Mapped[str] = mapped_column(String(40), primary_key=True, info=about(_OPERATIONAL, "the node"))
    file_id: Mapped[str] = mapped_column(String(80), primary_key=True, info=about(_OPERATIONAL, "the file, by inode and birth, so that rotation keeps it"))
    kind: Mapped[str] = mapped_column(String(10), info=about(_OPERATIONAL, "ledger or journal"))
    path: Mapped[str] = mapped_column(String(255), info=about(_OPERATIONAL, "its name when last seen"))
    offset: Mapped[int] = mapped_column(BigInteger, info=about(_OPERATIONAL, "bytes booked"))
    lines: Mapped[int] = mapped_column(BigInteger, info=about(_OPERATIONAL, "lines booked"))
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, info=about(_OPERATIONAL, "when", source="system"))


class SetAsideLine(Base):
    """A ledger line that could not be booked: where it is and why. Its text stays in the ledger file only."""

    __tablename__ = "set_aside_line"

    node: Mapped[str] = mapped_column(String(40), primary_key=True, info=about(_OPERATIONAL, "the node"))
    file_id: Mapped[str] = mapped_column(String(80), primary_key=True, info=about(_OPERATIONAL, "the file"))
    offset: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False, info=about(_OPERATIONAL, "where the line begins"))
    length: Mapped[int] = mapped_column(Integer, info=about(_OPERATIONAL, "bytes"))
    reason: Mapped[str] = mapped_column(String(200), info=about(_OPERATIONAL, "what is wrong with it, without its content"))
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime, info=about(_OPERATIONAL, "when", source="system"))


class ReconciledDay(Base):
    """What a node found when it compared decided, ledger and store for one UTC day, apart for calls that phones made (claims ON-2.2b, VF-2, VF-10)."""

    __tablename__ = "reconciled_day"
    __table_args__ = (Index("ix_reconciled_day_compared_at", "compared_at"),)

    node: Mapped[str] = mapped_column(String(40), primary_key=True, info=about(_PROOF, "the node", source="system"))
    day: Mapped[date] = mapped_column(Date, primary_key=True, info=about(_PROOF, "the UTC day of the calls' ids", source="system"))
    outbound: Mapped[bool] = mapped_column(primary_key=True, info=about(_PROOF, "calls that customers' phones made, or the others", source="system"))
    compared_at: Mapped[datetime] = mapped_column(UtcDateTime, info=about(_PROOF, "when they were compared", source="system"))
    decided: Mapped[int] = mapped_column(BigInteger, info=about(_PROOF, "calls in the node's journal", source="ledger"))
    ledger: Mapped[int] = mapped_column(BigInteger, info=about(_PROOF, "calls whose end is in its ledger", source="ledger"))
    store: Mapped[int] = mapped_column(BigInteger, info=about(_PROOF, "calls in the store", source="ledger"))
    lost: Mapped[int] = mapped_column(BigInteger, info=about(_PROOF, "of those, lost with their Asterisk", source="ledger"))
    unfinished: Mapped[int] = mapped_column(BigInteger, info=about(_PROOF, "calls that had not ended", source="ledger"))
    differences: Mapped[int] = mapped_column(BigInteger, info=about(_PROOF, "calls that are not everywhere they should be", source="ledger"))
    ledger_seconds: Mapped[int] = mapped_column(BigInteger, info=about(_PROOF, "answered seconds by the ledger, of calls in both", source="ledger"))
    store_seconds: Mapped[int] = mapped_column(BigInteger, info=about(_PROOF, "answered seconds in the store, of calls in both", source="ledger"))
    seconds_differ: Mapped[int] = mapped_column(BigInteger, info=about(_PROOF, "calls whose seconds differ", source="ledger"))


class Node(Base):
    """An Asterisk with its daemons, as it last told about itself."""

    __tablename__ = "node"

    name: Mapped[str] = mapped_column(String(40), primary_key=True, info=about(_OPERATIONAL, "the node"))
    plan_version: Mapped[int | None] = mapped_column(BigInteger, info=about(_OPERATIONAL, "the plan its app routes by"))
    plan_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=about(_OPERATIONAL, "when it took that plan", source="system"))
    asterisk_started_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=about(_OPERATIONAL, "when its Asterisk started", source="system"))
    app_seen_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=about(_OPERATIONAL, "when its app was last alive", source="system"))
    booker_seen_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=about(_OPERATIONAL, "when its booker was last alive", source="system"))
    astdb_version: Mapped[int | None] = mapped_column(BigInteger, info=about(_OPERATIONAL, "the plan its AstDB holds"))
    astdb_checked_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=about(_OPERATIONAL, "when its AstDB was last compared", source="system"))
    worker_seen_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=about(_OPERATIONAL, "when its worker was last alive", source="system"))
    files_purged_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=about(_OPERATIONAL, "when its old files were last removed", source="system"))
