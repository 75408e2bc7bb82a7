"""Legal holds: what must not be deleted; and rows that only a secret hold keeps."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import BigInteger, Date, Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from ringfence.models.base import Base, DataClass, UtcDateTime, about
from ringfence.models.retention import COUNTER

_HOLD = DataClass.LEGAL_HOLD


class LegalHold(Base):
    """What must not be deleted. What is empty does not narrow it; at least one of account, number, period and class does."""

    __tablename__ = "legal_hold"
    __table_args__ = (Index("ix_legal_hold_released_at", "released_at"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True, info=about(_HOLD, "identifies the hold", source="system"))
    data_class: Mapped[str | None] = mapped_column(String(20), info=about(_HOLD, "the class it covers"))
    account_id: Mapped[int | None] = mapped_column(Integer, info=about(_HOLD, "the account it covers", personal=True))
    number: Mapped[str | None] = mapped_column(String(41), info=about(_HOLD, "the number it covers, on either side of a call", personal=True))
    since: Mapped[datetime | None] = mapped_column(UtcDateTime, info=about(_HOLD, "rows of this moment and later"))
    until: Mapped[datetime | None] = mapped_column(UtcDateTime, info=about(_HOLD, "rows before this moment"))
    reason: Mapped[str] = mapped_column(String(400), info=about(_HOLD, "why", personal=True))
    owner: Mapped[str] = mapped_column(String(60), info=about(_HOLD, "the operator who answers for it", personal=True))
    review_by: Mapped[date] = mapped_column(Date, info=about(_HOLD, "when somebody must look again"))
    secret: Mapped[bool] = mapped_column(info=about(_HOLD, "nobody but its keeper may learn of it"))
    keeper: Mapped[str | None] = mapped_column(String(60), info=about(_HOLD, "the only operator who may know of it", personal=True))
    placed_at: Mapped[datetime] = mapped_column(UtcDateTime, info=about(_HOLD, "when", source="system"))
    placed_version: Mapped[int | None] = mapped_column(BigInteger, info=about(_HOLD, "version of the holds it made; none for a secret one", source="system"))
    reviewed_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=about(_HOLD, "when it was last looked at", source="system"))
    released_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=about(_HOLD, "when it ended", source="system"))
    released_by: Mapped[str | None] = mapped_column(String(60), info=about(_HOLD, "who ended it", personal=True))
    released_version: Mapped[int | None] = mapped_column(BigInteger, info=about(_HOLD, "version of the holds that made", source="system"))


class HoldState(Base):
    """One row: the version of the holds that may be known. Its lock keeps placing a hold and deleting apart."""

    __tablename__ = "hold_state"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False, info=about(DataClass.OPERATIONAL, "always 1"))
    version: Mapped[int] = mapped_column(BigInteger, info=about(DataClass.OPERATIONAL, "grows with each hold placed or released"))


class HeldRow(Base):
    """A row that was due and left its table, kept for the keeper of a secret hold alone."""

    __tablename__ = "held_row"
    __table_args__ = (Index("ix_held_row_hold_id", "hold_id"),)

    id: Mapped[int] = mapped_column(COUNTER, primary_key=True, autoincrement=True, info=about(_HOLD, "identifies it", source="system"))
    hold_id: Mapped[str] = mapped_column(String(32), info=about(_HOLD, "the hold", source="system"))
    data_class: Mapped[str] = mapped_column(String(20), info=about(_HOLD, "the class it had", source="system"))
    table_name: Mapped[str] = mapped_column(String(40), info=about(_HOLD, "the table it left", source="system"))
    at: Mapped[datetime] = mapped_column(UtcDateTime, info=about(_HOLD, "its own time", source="system"))
    row: Mapped[str] = mapped_column(Text, info=about(_HOLD, "the row, as JSON", personal=True, source="ledger"))
