"""Customers' accounts and their phones."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Identity, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from ringfence.models.base import Base, DataClass, UtcDateTime, about, values_of
from ringfence.values import AccountState

_ACCOUNT = DataClass.ACCOUNT


class Account(Base):
    """A customer of the operator."""

    __tablename__ = "account"

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True, info=about(_ACCOUNT, "identifies the account inside"))
    ref: Mapped[str] = mapped_column(String(40), unique=True, info=about(_ACCOUNT, "the operator's own name for the account", personal=True))
    name: Mapped[str] = mapped_column(String(200), info=about(_ACCOUNT, "who the customer is", personal=True, source="customer"))
    state: Mapped[AccountState] = mapped_column(values_of(AccountState), info=about(_ACCOUNT, "whether its numbers carry calls"))
    concurrency_limit: Mapped[int | None] = mapped_column(Integer, info=about(_ACCOUNT, "calls at once on one node"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, info=about(_ACCOUNT, "when it was made", source="system"))
    closed_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=about(_ACCOUNT, "retention windows run from here", source="system"))


class Endpoint(Base):
    """A customer's phone that registers over SIP; calls go to it and come from it."""

    __tablename__ = "endpoint"

    name: Mapped[str] = mapped_column(String(40), primary_key=True, info=about(_ACCOUNT, "SIP user name, also the PJSIP endpoint", personal=True))
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), index=True, info=about(_ACCOUNT, "whose phone it is"))
    caller_did: Mapped[str | None] = mapped_column(ForeignKey("did.e164"), index=True, info=about(_ACCOUNT, "the number its own calls present", personal=True))
    emergency_did: Mapped[str | None] = mapped_column(
        ForeignKey("did.e164"), index=True, info=about(_ACCOUNT, "the number of its site, presented to 999; else the other", personal=True)
    )
    receive_only: Mapped[bool] = mapped_column(info=about(_ACCOUNT, "may it take calls only"))
    ha1: Mapped[str] = mapped_column(String(64), info=about(_ACCOUNT, "digest of its password, for registration", personal=True, source="system"))
    enabled: Mapped[bool] = mapped_column(info=about(_ACCOUNT, "may it register and call"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, info=about(_ACCOUNT, "when it was made", source="system"))
