"""The audit log, its head, and its signed checkpoints. Triggers of the store refuse every change and removal."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Index, Integer, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from ringfence.models.base import Base, DataClass, UtcDateTime, about

_AUDIT = DataClass.AUDIT_LOG


class AuditEntry(Base):
    """One act. `seq` counts from 0 without gaps and is the leaf's index in the tree of RFC 6962."""

    __tablename__ = "audit_entry"
    __table_args__ = (Index("ix_audit_entry_at", "at"), Index("ix_audit_entry_kind_seq", "kind", "seq"))

    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False, info=about(_AUDIT, "place in the log", source="system"))
    at: Mapped[datetime] = mapped_column(UtcDateTime, info=about(_AUDIT, "when", source="system"))
    kind: Mapped[str] = mapped_column(String(40), info=about(_AUDIT, "what was done", source="system"))
    actor: Mapped[str] = mapped_column(String(60), info=about(_AUDIT, "which part or role did it; never a name", source="system"))
    body: Mapped[str] = mapped_column(Text, info=about(_AUDIT, "counts, random ids and digests, as canonical JSON", source="system"))
    leaf_hash: Mapped[bytes] = mapped_column(LargeBinary(32), info=about(_AUDIT, "RFC 6962 hash of the entry", source="system"))


class AuditHead(Base):
    """One row: how long the log is, and the subtree hashes that the next entry is added to. Its lock puts entries in order."""

    __tablename__ = "audit_head"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False, info=about(_AUDIT, "always 1"))
    size: Mapped[int] = mapped_column(BigInteger, info=about(_AUDIT, "number of entries", source="system"))
    frontier: Mapped[bytes] = mapped_column(LargeBinary, info=about(_AUDIT, "roots of the perfect subtrees, largest first", source="system"))


class AuditCheckpoint(Base):
    """A signed statement of the log's length and root."""

    __tablename__ = "audit_checkpoint"

    size: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False, info=about(_AUDIT, "number of entries", source="system"))
    at: Mapped[datetime] = mapped_column(UtcDateTime, info=about(_AUDIT, "when it was signed", source="system"))
    verifier_key: Mapped[str] = mapped_column(String(200), info=about(_AUDIT, "the verifier key it was signed with", source="system"))
    note: Mapped[str] = mapped_column(Text, info=about(_AUDIT, "the signed note", source="system"))
