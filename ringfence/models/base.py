"""The declarative base: names of constraints, aware timestamps, and the data-map entry every column must carry."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, ClassVar

from sqlalchemy import DateTime, Enum, MetaData
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeDecorator

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class DataClass(StrEnum):
    """What kind of data a column or file holds; retention windows are set for each (claims ON-3.3a, VF-14).

    What each means, and its legal basis, is in `retention.classes`.
    """

    ACCOUNT = "account"  # who the customer is
    NUMBERING = "numbering"  # numbers, who had which when, where they forward to
    TRUNKING = "trunking"  # the operator's own carriers
    PROCESSOR = "processor"  # who processes data for the operator
    CALL_LOG = "call_log"  # call detail records
    SMS_LOG = "sms_log"  # message records, without their text
    REGISTRATION = "registration"  # from where a phone registered
    BILLING = "billing"  # invoice lines and payments, without third parties' numbers
    VOICEMAIL = "voicemail"  # messages that callers left
    RECORDING = "recording"  # calls that a customer had recorded
    SERVICE_RECORDING = "service_recording"  # calls to the operator's own service lines
    SOUND = "sound"  # greetings and music that customers uploaded
    EMERGENCY_ADDRESS = "emergency_address"  # where a number is used, for 999
    EMERGENCY_CALL = "emergency_call"  # 999 calls that were made
    EMERGENCY_TEST = "emergency_test"  # proof that 999 was tried
    CONTACT = "contact"  # notes, mails and chats with a customer
    COMPLAINT = "complaint"  # complaints and their answers
    NOTICE = "notice"  # messages to customers
    CONSENT = "consent"  # what somebody agreed to, declared or opted into
    SUPPRESSION = "suppression"  # who said STOP
    RIGHTS_REQUEST = "rights_request"  # access, erasure and their kin
    DISCLOSURE = "disclosure"  # what authorities asked for and got
    LEGAL_HOLD = "legal_hold"  # what must not be deleted
    INCIDENT = "incident"  # breaches, and purges that were late
    ABUSE_CASE = "abuse_case"  # signals, suspensions and their review
    OPERATOR = "operator"  # the operator's own staff
    ACCESS_LOG = "access_log"  # who signed in, who read what
    AUDIT_LOG = "audit_log"  # acts that were done, in a tree that shows tampering
    PROOF = "proof"  # runs, receipts, sealed counts, policies and approvals
    AGGREGATE = "aggregate"  # counts that identify nobody
    PLAN_CHANGE = "plan_change"  # which numbers a change of the routing plan touched
    LEDGER = "ledger"  # files: the switch's ledger, the decision journal
    SPOOL = "spool"  # files: messages on their way
    EXPORT = "export"  # files: what was exported for somebody
    BACKUP = "backup"  # files: copies of the store
    LOG = "log"  # files: what daemons and Asterisk say
    OPERATIONAL = "operational"  # how the system runs; says nothing about a person


class Base(DeclarativeBase):
    """Root of all models."""

    metadata: ClassVar[MetaData] = MetaData(naming_convention=NAMING)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC moment to the microsecond: timestamptz on PostgreSQL, ISO text on SQLite.

    A naive value is refused, so that no local time can slip in.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert to UTC on the way in."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive time cannot be stored")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002  SQLAlchemy's signature
        """Return aware UTC on the way out."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def values_of(enum: type[StrEnum], length: int = 20) -> Enum:
    """Return a column type that stores an enum by its value, as text, checked by Python."""
    return Enum(enum, native_enum=False, create_constraint=False, length=length, values_callable=lambda e: [m.value for m in e])


def about(data_class: DataClass, purpose: str, *, personal: bool = False, source: str = "operator") -> dict[str, Any]:
    """Return a column's `info`: the data map, the masks, the access export and the purge are made from it.

    Args:
        data_class: what kind of data it is.
        purpose: why it is kept, in a few words.
        personal: does it say something about a person?
        source: who it comes from (operator, carrier, customer, ledger, system).
    """
    return {"data_class": data_class, "purpose": purpose, "personal": personal, "source": source}
