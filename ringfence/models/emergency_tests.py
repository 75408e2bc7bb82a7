"""Tests of the way to 999, and the way that each node has in place: whether one differs from what was tested last says whether a test is due."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from ringfence.emergency import HowTested
from ringfence.models.base import Base, DataClass, UtcDateTime, about, values_of

_TEST = DataClass.EMERGENCY_TEST


class EmergencyWay(Base):
    """What a call to 999 goes through on one node, as its configuration is in place, by digests."""

    __tablename__ = "emergency_way"

    node: Mapped[str] = mapped_column(String(40), primary_key=True, info=about(_TEST, "which node", source="system"))
    trunks: Mapped[str] = mapped_column(String(64), info=about(_TEST, "digest of the emergency trunks and how they are tried", source="system"))
    trunks_since: Mapped[datetime] = mapped_column(UtcDateTime, info=about(_TEST, "when they became another than was tested", source="system"))
    dialplan: Mapped[str] = mapped_column(String(64), info=about(_TEST, "digest of the dialplan that 999 goes through", source="system"))
    dialplan_since: Mapped[datetime] = mapped_column(UtcDateTime, info=about(_TEST, "when it became another than was tested", source="system"))


class EmergencyTest(Base):
    """One test of the way to 999, passed or not, and what was due when it was held."""

    __tablename__ = "emergency_test"
    __table_args__ = (Index("ix_emergency_test_at", "at"), Index("ix_emergency_test_node_at", "node", "at"))

    id: Mapped[str] = mapped_column(String(32), primary_key=True, info=about(_TEST, "identifies it, in the audit log too", source="system"))
    node: Mapped[str] = mapped_column(String(40), info=about(_TEST, "whose way was tested", source="system"))
    began_at: Mapped[datetime] = mapped_column(UtcDateTime, info=about(_TEST, "when it began: what changed later is not tested", source="system"))
    at: Mapped[datetime] = mapped_column(UtcDateTime, info=about(_TEST, "when it was over", source="system"))
    how: Mapped[HowTested] = mapped_column(values_of(HowTested), info=about(_TEST, "by our own command, or by hand with the carrier"))
    passed: Mapped[bool] = mapped_column(info=about(_TEST, "whether all was as it should be"))
    tested_by: Mapped[str] = mapped_column(String(60), info=about(_TEST, "who tested", personal=True))
    note: Mapped[str] = mapped_column(String(200), info=about(_TEST, "what that person adds", personal=True))
    trunks: Mapped[str] = mapped_column(String(64), info=about(_TEST, "digest of the emergency trunks that were tested", source="system"))
    dialplan: Mapped[str] = mapped_column(String(64), info=about(_TEST, "digest of the dialplan that was tested", source="system"))
    due: Mapped[list[Any]] = mapped_column(JSON, info=about(_TEST, "what was due, and since when", source="system"))
    checks: Mapped[list[Any]] = mapped_column(JSON, info=about(_TEST, "each check, and what was wrong", personal=True, source="system"))
