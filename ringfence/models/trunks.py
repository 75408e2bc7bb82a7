"""Trunks: the carriers that bring and take calls."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from ringfence.models.base import Base, DataClass, UtcDateTime, about, values_of
from ringfence.values import CallerIdMode, EmergencyLocation, NumberFormat, Transport, TrunkDirection

_TRUNKING = DataClass.TRUNKING


class Trunk(Base):
    """A SIP trunk to a carrier."""

    __tablename__ = "trunk"

    name: Mapped[str] = mapped_column(String(40), primary_key=True, info=about(_TRUNKING, "its name, also the PJSIP endpoint"))
    host: Mapped[str] = mapped_column(String(255), info=about(_TRUNKING, "where its calls go"))
    port: Mapped[int] = mapped_column(Integer, info=about(_TRUNKING, "SIP port"))
    transport: Mapped[Transport] = mapped_column(values_of(Transport), info=about(_TRUNKING, "SIP transport"))
    match: Mapped[list[str]] = mapped_column(JSON, info=about(_TRUNKING, "addresses its calls come from, IP or CIDR"))
    username: Mapped[str | None] = mapped_column(String(80), info=about(_TRUNKING, "for carriers that authenticate us"))
    password_file: Mapped[str | None] = mapped_column(String(255), info=about(_TRUNKING, "where each node keeps the password"))
    register: Mapped[bool] = mapped_column(info=about(_TRUNKING, "must we register with it"))
    direction: Mapped[TrunkDirection] = mapped_column(values_of(TrunkDirection), info=about(_TRUNKING, "which calls it takes"))
    enabled: Mapped[bool] = mapped_column(info=about(_TRUNKING, "is it used"))
    priority: Mapped[int] = mapped_column(Integer, info=about(_TRUNKING, "lower is tried first"))
    weight: Mapped[int] = mapped_column(Integer, info=about(_TRUNKING, "share among equal priorities"))
    caller_id_mode: Mapped[CallerIdMode] = mapped_column(values_of(CallerIdMode), info=about(_TRUNKING, "whose number it shows (claim NN-6)"))
    number_format: Mapped[NumberFormat] = mapped_column(values_of(NumberFormat), info=about(_TRUNKING, "how it wants numbers"))
    network_number: Mapped[str | None] = mapped_column(String(16), info=about(_TRUNKING, "sent as P-Asserted-Identity"))
    capacity: Mapped[int | None] = mapped_column(Integer, info=about(_TRUNKING, "channels at once on one node"))
    causes: Mapped[dict[str, Any]] = mapped_column(JSON, info=about(_TRUNKING, "which refusals are final; overrides the defaults"))
    emergency: Mapped[int | None] = mapped_column(Integer, info=about(_TRUNKING, "its turn in calls to 999; it takes no other calls"))
    emergency_location: Mapped[EmergencyLocation | None] = mapped_column(
        values_of(EmergencyLocation), info=about(_TRUNKING, "does a call to 999 carry the address of the phone's site")
    )
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, info=about(_TRUNKING, "when it was made", source="system"))
