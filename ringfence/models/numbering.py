"""Numbers (DIDs), who had which when, and where each forwards to."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Identity, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from ringfence.models.base import Base, DataClass, UtcDateTime, about, values_of
from ringfence.values import DidState, NumberClass, TargetKind

_NUMBERING = DataClass.NUMBERING


class Did(Base):
    """A number that the operator can route."""

    __tablename__ = "did"

    e164: Mapped[str] = mapped_column(String(16), primary_key=True, info=about(_NUMBERING, "the number, E.164 with +", personal=True))
    number_class: Mapped[NumberClass] = mapped_column(values_of(NumberClass), info=about(_NUMBERING, "what the numbering plan calls it"))
    state: Mapped[DidState] = mapped_column(values_of(DidState), info=about(_NUMBERING, "whether it is routed"))
    account_id: Mapped[int | None] = mapped_column(ForeignKey("account.id"), index=True, info=about(_NUMBERING, "who has it now", personal=True))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, info=about(_NUMBERING, "when it was provisioned", source="system"))


class DidOwnership(Base):
    """Who had a number, from when until when; one open row for each assigned number."""

    __tablename__ = "did_ownership"

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True, info=about(_NUMBERING, "identifies the row"))
    e164: Mapped[str] = mapped_column(ForeignKey("did.e164"), index=True, info=about(_NUMBERING, "the number", personal=True))
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), index=True, info=about(_NUMBERING, "who had it", personal=True))
    since: Mapped[datetime] = mapped_column(UtcDateTime, info=about(_NUMBERING, "from when", source="system"))
    until: Mapped[datetime | None] = mapped_column(UtcDateTime, info=about(_NUMBERING, "until when; empty = still", source="system"))


class Target(Base):
    """Where a number forwards to; equal positions ring together, lower positions first."""

    __tablename__ = "target"

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True, info=about(_NUMBERING, "identifies the row"))
    did: Mapped[str] = mapped_column(ForeignKey("did.e164"), index=True, info=about(_NUMBERING, "the number that forwards", personal=True))
    position: Mapped[int] = mapped_column(Integer, info=about(_NUMBERING, "its turn; equal ones ring together"))
    kind: Mapped[TargetKind] = mapped_column(values_of(TargetKind), info=about(_NUMBERING, "mobile, landline or SIP phone"))
    address: Mapped[str] = mapped_column(String(40), index=True, info=about(_NUMBERING, "the number or phone that is rung", personal=True, source="customer"))
    ring_seconds: Mapped[int] = mapped_column(Integer, info=about(_NUMBERING, "how long it rings"))
