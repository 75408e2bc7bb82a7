"""Calls to 999 and 112, kept longer than the call log: whether each went through, and by which trunks it was tried."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from ringfence.models.base import Base, DataClass, UtcDateTime, about, values_of
from ringfence.values import Disposition

_CALL = DataClass.EMERGENCY_CALL


class EmergencyCall(Base):
    """One emergency call; its call detail record stands in the call log besides, until that ends."""

    __tablename__ = "emergency_call"
    __table_args__ = (
        Index("ix_emergency_call_started_at", "started_at"),
        Index("ix_emergency_call_presented_started_at", "presented", "started_at"),
    )

    call_id: Mapped[str] = mapped_column(String(48), primary_key=True, info=about(_CALL, "identifies the call", source="ledger"))
    started_at: Mapped[datetime] = mapped_column(UtcDateTime, info=about(_CALL, "when it began", personal=True, source="ledger"))
    node: Mapped[str] = mapped_column(String(40), info=about(_CALL, "which Asterisk carried it", source="ledger"))
    account_id: Mapped[int | None] = mapped_column(Integer, info=about(_CALL, "whose phone it was", personal=True, source="ledger"))
    endpoint: Mapped[str] = mapped_column(String(40), info=about(_CALL, "the phone that called", personal=True, source="ledger"))
    presented: Mapped[str | None] = mapped_column(String(41), info=about(_CALL, "the number of its site, as 999 saw it", personal=True, source="ledger"))
    called: Mapped[str] = mapped_column(String(6), info=about(_CALL, "999, 112 or 18000", source="ledger"))
    tried: Mapped[list[Any]] = mapped_column(JSON, info=about(_CALL, "each trunk that was tried, and how that ended", source="ledger"))
    trunk: Mapped[str | None] = mapped_column(String(40), info=about(_CALL, "the trunk by which it was answered", source="ledger"))
    answered_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=about(_CALL, "when it was answered", source="ledger"))
    ended_at: Mapped[datetime] = mapped_column(UtcDateTime, info=about(_CALL, "when it ended", source="ledger"))
    disposition: Mapped[Disposition] = mapped_column(values_of(Disposition), info=about(_CALL, "how it ended", source="ledger"))
