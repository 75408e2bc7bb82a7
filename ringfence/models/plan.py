"""The routing plan's version and its changes, so that every process follows within a second."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from ringfence.models.base import Base, DataClass, UtcDateTime, about

_OPERATIONAL = DataClass.OPERATIONAL
_CHANGE = DataClass.PLAN_CHANGE


class PlanState(Base):
    """One row: the newest version of the plan. Every provisioning transaction raises it, which also puts them in order."""

    __tablename__ = "plan_state"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False, info=about(_OPERATIONAL, "always 1"))
    version: Mapped[int] = mapped_column(BigInteger, info=about(_OPERATIONAL, "newest version of the routing plan"))
    changed_at: Mapped[datetime] = mapped_column(UtcDateTime, info=about(_OPERATIONAL, "when it changed", source="system"))


class PlanChange(Base):
    """What a version changed: the key of each thing to read again."""

    __tablename__ = "plan_change"

    version: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False, info=about(_CHANGE, "the version that changed it"))
    kind: Mapped[str] = mapped_column(String(10), primary_key=True, info=about(_CHANGE, "did, account, trunk, endpoint or all"))
    key: Mapped[str] = mapped_column(String(40), primary_key=True, info=about(_CHANGE, "which one", personal=True))
    changed_at: Mapped[datetime] = mapped_column(UtcDateTime, info=about(_CHANGE, "when", source="system"))
