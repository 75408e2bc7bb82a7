"""From where each phone registered last: one row for a phone and node, so that a 999 operator can be told where it was seen."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from ringfence.models.base import Base, DataClass, UtcDateTime, about

_REGISTRATION = DataClass.REGISTRATION


class Registration(Base):
    """A phone's last registration at a node; there is no history."""

    __tablename__ = "registration"
    __table_args__ = (Index("ix_registration_registered_at", "registered_at"),)

    endpoint: Mapped[str] = mapped_column(String(40), primary_key=True, info=about(_REGISTRATION, "the phone", personal=True, source="system"))
    node: Mapped[str] = mapped_column(String(40), primary_key=True, info=about(_REGISTRATION, "with which Asterisk", source="system"))
    account_id: Mapped[int] = mapped_column(Integer, info=about(_REGISTRATION, "whose phone it is", personal=True, source="system"))
    address: Mapped[str] = mapped_column(String(45), info=about(_REGISTRATION, "the IP address that it came from", personal=True, source="system"))
    registered_at: Mapped[datetime] = mapped_column(UtcDateTime, info=about(_REGISTRATION, "when, within a minute", personal=True, source="system"))
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=about(_REGISTRATION, "when it ends if it is not renewed", source="system"))
