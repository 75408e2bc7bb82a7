"""Addresses for 999: every version of each number's record, and what is to be sent to carriers."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from ringfence.emergency import AddressState, LocationClass, SubmissionAction, SubmissionState
from ringfence.models.base import Base, DataClass, UtcDateTime, about, values_of
from ringfence.models.retention import COUNTER

_ADDRESS = DataClass.EMERGENCY_ADDRESS


class EmergencyRecord(Base):
    """One version of what is held of a number for 999. The one that holds has no `superseded_at`; there is at most one."""

    __tablename__ = "emergency_address"

    id: Mapped[str] = mapped_column(String(32), primary_key=True, info=about(_ADDRESS, "identifies it, in the audit log too", source="system"))
    e164: Mapped[str] = mapped_column(ForeignKey("did.e164"), info=about(_ADDRESS, "the number, which is the key of the 999 database", personal=True))
    version: Mapped[int] = mapped_column(Integer, info=about(_ADDRESS, "counts from 1 for each number", source="system"))
    account_id: Mapped[int] = mapped_column(Integer, info=about(_ADDRESS, "whose number it was then", personal=True))
    location: Mapped[LocationClass] = mapped_column(values_of(LocationClass), info=about(_ADDRESS, "how the number is used", source="customer"))
    title: Mapped[str] = mapped_column(String(20), info=about(_ADDRESS, "title", personal=True, source="customer"))
    forename: Mapped[str] = mapped_column(String(20), info=about(_ADDRESS, "forename", personal=True, source="customer"))
    name: Mapped[str] = mapped_column(String(50), info=about(_ADDRESS, "surname, or the business's name", personal=True, source="customer"))
    honours: Mapped[str] = mapped_column(String(30), info=about(_ADDRESS, "honours", personal=True, source="customer"))
    bussuffix: Mapped[str] = mapped_column(String(50), info=about(_ADDRESS, "what kind of business", personal=True, source="customer"))
    premises: Mapped[str] = mapped_column(String(60), info=about(_ADDRESS, "number or name of the building", personal=True, source="customer"))
    thoroughfare: Mapped[str] = mapped_column(String(55), info=about(_ADDRESS, "street", personal=True, source="customer"))
    locality: Mapped[str] = mapped_column(String(30), info=about(_ADDRESS, "district and town", personal=True, source="customer"))
    postcode: Mapped[str] = mapped_column(String(12), info=about(_ADDRESS, "picks the control room", personal=True, source="customer"))
    state: Mapped[AddressState] = mapped_column(values_of(AddressState), info=about(_ADDRESS, "how far it has come at the carrier"))
    state_at: Mapped[datetime] = mapped_column(UtcDateTime, info=about(_ADDRESS, "since when it is in that state", source="system"))
    standing: Mapped[bool] = mapped_column(info=about(_ADDRESS, "a version before it is with the carrier until this one is", source="system"))
    uncovered_since: Mapped[datetime | None] = mapped_column(UtcDateTime, info=about(_ADDRESS, "since when 999 lacks an accepted address", source="system"))
    submitted_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=about(_ADDRESS, "when the carrier first took it in", source="system"))
    accepted_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=about(_ADDRESS, "when the carrier first accepted it", source="carrier"))
    carrier: Mapped[str | None] = mapped_column(String(40), info=about(_ADDRESS, "the carrier that has it"))
    carrier_ref: Mapped[str | None] = mapped_column(String(100), info=about(_ADDRESS, "the carrier's own reference", source="carrier"))
    refusal: Mapped[str | None] = mapped_column(String(200), info=about(_ADDRESS, "why the carrier refused it", personal=True, source="carrier"))
    confirmed_by: Mapped[str | None] = mapped_column(String(60), info=about(_ADDRESS, "who said that it is right", personal=True, source="customer"))
    confirmed_how: Mapped[str | None] = mapped_column(String(20), info=about(_ADDRESS, "by phone, mail, letter, contract, ..."))
    confirmed_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=about(_ADDRESS, "when it was last confirmed", source="system"))
    acknowledged_at: Mapped[datetime | None] = mapped_column(
        UtcDateTime, info=about(_ADDRESS, "when somebody said they know that 999 fails", source="customer")
    )
    reported_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=about(_ADDRESS, "when 999 was last reported to lack it", source="carrier"))
    report_key: Mapped[str | None] = mapped_column(String(32), info=about(_ADDRESS, "tells a repeated report; a digest of its id", source="carrier"))
    made_at: Mapped[datetime] = mapped_column(UtcDateTime, info=about(_ADDRESS, "when it was entered", source="system"))
    superseded_at: Mapped[datetime | None] = mapped_column(
        UtcDateTime, info=about(_ADDRESS, "when a newer version took its place, or its number left", source="system")
    )


Index("uq_emergency_address_e164_version", EmergencyRecord.e164, EmergencyRecord.version, unique=True)
Index(
    "uq_emergency_address_current",
    EmergencyRecord.e164,
    unique=True,
    postgresql_where=EmergencyRecord.superseded_at.is_(None),
    sqlite_where=EmergencyRecord.superseded_at.is_(None),
)
Index(
    "ix_emergency_address_confirmed",
    EmergencyRecord.location,
    EmergencyRecord.confirmed_at,
    EmergencyRecord.made_at,
    postgresql_where=EmergencyRecord.superseded_at.is_(None),
    sqlite_where=EmergencyRecord.superseded_at.is_(None),
)
Index("ix_emergency_address_superseded_at", EmergencyRecord.superseded_at)
Index("ix_emergency_address_state_state_at", EmergencyRecord.state, EmergencyRecord.state_at)
Index("ix_emergency_address_made_at", EmergencyRecord.made_at)


class EmergencySubmission(Base):
    """Something to be done at a carrier with a version of a record. The address itself is only in the record."""

    __tablename__ = "emergency_submission"
    __table_args__ = (
        Index("ix_emergency_submission_state_next_at", "state", "next_at"),
        Index("ix_emergency_submission_e164", "e164"),
        Index("ix_emergency_submission_record_id", "record_id"),
        Index("ix_emergency_submission_finished_at", "finished_at"),
    )

    id: Mapped[int] = mapped_column(COUNTER, primary_key=True, autoincrement=True, info=about(_ADDRESS, "identifies it; a number's are done in order"))
    record_id: Mapped[str] = mapped_column(String(32), info=about(_ADDRESS, "the version of the record", source="system"))
    e164: Mapped[str] = mapped_column(String(16), info=about(_ADDRESS, "the number", personal=True, source="system"))
    account_id: Mapped[int] = mapped_column(Integer, info=about(_ADDRESS, "whose number it was then", personal=True, source="system"))
    action: Mapped[SubmissionAction] = mapped_column(values_of(SubmissionAction), info=about(_ADDRESS, "submit or withdraw", source="system"))
    carrier: Mapped[str | None] = mapped_column(String(40), info=about(_ADDRESS, "with which carrier; empty until it is chosen", source="system"))
    state: Mapped[SubmissionState] = mapped_column(values_of(SubmissionState), info=about(_ADDRESS, "how far it has come", source="system"))
    attempts: Mapped[int] = mapped_column(Integer, info=about(_ADDRESS, "how often it was tried", source="system"))
    next_at: Mapped[datetime] = mapped_column(UtcDateTime, info=about(_ADDRESS, "when it is tried, or asked after, next", source="system"))
    idempotency_key: Mapped[str] = mapped_column(String(32), unique=True, info=about(_ADDRESS, "the same in every attempt", source="system"))
    last_error: Mapped[str | None] = mapped_column(String(60), info=about(_ADDRESS, "what went wrong last, in a word", source="carrier"))
    made_at: Mapped[datetime] = mapped_column(UtcDateTime, info=about(_ADDRESS, "when it was asked for", source="system"))
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=about(_ADDRESS, "when nothing was left to do", source="system"))
