"""Declarative models; every column carries its data class (see `base.about`)."""

from ringfence.models.accounts import Account, Endpoint
from ringfence.models.audit import AuditCheckpoint, AuditEntry, AuditHead
from ringfence.models.base import Base, DataClass
from ringfence.models.calls import Call, LedgerOffset, Leg, Node, SetAsideLine
from ringfence.models.numbering import Did, DidOwnership, Target
from ringfence.models.plan import PlanChange, PlanState
from ringfence.models.trunks import Trunk

__all__ = [
    "Account",
    "AuditCheckpoint",
    "AuditEntry",
    "AuditHead",
    "Base",
    "Call",
    "DataClass",
    "Did",
    "DidOwnership",
    "Endpoint",
    "LedgerOffset",
    "Leg",
    "Node",
    "PlanChange",
    "PlanState",
    "SetAsideLine",
    "Target",
    "Trunk",
]
