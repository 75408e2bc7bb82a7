"""What is billed: one line for each answered call, without any third party's number, so that the bill can outlive the call log."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from sqlalchemy import Index, Integer, Numeric, String
from sqlalchemy.orm import Mapped, mapped_column

from ringfence.models.base import Base, DataClass, UtcDateTime, about, values_of
from ringfence.models.retention import COUNTER
from ringfence.values import Direction

_BILLING = DataClass.BILLING


class InvoiceLine(Base):
    """An answered call as the bill needs it. Written in the transaction that books the call; nothing in it leads back to the call's row."""

    __tablename__ = "invoice_line"
    __table_args__ = (Index("ix_invoice_line_started_at", "started_at"), Index("ix_invoice_line_account_id_started_at", "account_id", "started_at"))

    id: Mapped[int] = mapped_column(COUNTER, primary_key=True, autoincrement=True, info=about(_BILLING, "identifies the line", source="system"))
    account_id: Mapped[int] = mapped_column(Integer, info=about(_BILLING, "who pays", personal=True, source="ledger"))
    did: Mapped[str | None] = mapped_column(String(41), info=about(_BILLING, "the customer's own number it used", personal=True, source="ledger"))
    started_at: Mapped[datetime] = mapped_column(UtcDateTime, info=about(_BILLING, "when the call began", personal=True, source="ledger"))
    direction: Mapped[Direction] = mapped_column(values_of(Direction), info=about(_BILLING, "inbound, outbound or internal", source="ledger"))
    destination: Mapped[str] = mapped_column(String(20), info=about(_BILLING, "what kind of number was reached", source="ledger"))
    billable_seconds: Mapped[int] = mapped_column(Integer, info=about(_BILLING, "answered time, rounded up to the second", source="ledger"))
    charge: Mapped[Decimal | None] = mapped_column(Numeric(12, 4), info=about(_BILLING, "what it costs, in pounds; empty until it is rated"))
