"""Declarative models; every column carries its data class (see `base.about`)."""

from ringfence.models.accounts import Account, Endpoint
from ringfence.models.audit import AuditCheckpoint, AuditEntry, AuditHead
from ringfence.models.base import Base, DataClass
from ringfence.models.billing import InvoiceLine
from ringfence.models.calls import Call, LedgerOffset, Leg, Node, ReconciledDay, SetAsideLine
from ringfence.models.emergency import EmergencyRecord, EmergencySubmission
from ringfence.models.emergency_calls import EmergencyCall
from ringfence.models.emergency_tests import EmergencyTest, EmergencyWay
from ringfence.models.holds import HeldRow, HoldState, LegalHold
from ringfence.models.numbering import Did, DidOwnership, Target
from ringfence.models.plan import PlanChange, PlanState
from ringfence.models.registrations import Registration
from ringfence.models.retention import (
    AccountPolicy,
    CallAggregate,
    FileTombstone,
    Incident,
    Lease,
    PolicyVersion,
    PurgeReceipt,
    PurgeReceiptDay,
    PurgeRun,
    PurgeRunClass,
    ReadBarrier,
    SealedDay,
)
from ringfence.models.trunks import Trunk

__all__ = [
    "Account",
    "AccountPolicy",
    "AuditCheckpoint",
    "AuditEntry",
    "AuditHead",
    "Base",
    "Call",
    "CallAggregate",
    "DataClass",
    "Did",
    "DidOwnership",
    "EmergencyCall",
    "EmergencyRecord",
    "EmergencySubmission",
    "EmergencyTest",
    "EmergencyWay",
    "Endpoint",
    "FileTombstone",
    "HeldRow",
    "HoldState",
    "Incident",
    "InvoiceLine",
    "Lease",
    "LedgerOffset",
    "Leg",
    "LegalHold",
    "Node",
    "PlanChange",
    "PlanState",
    "PolicyVersion",
    "PurgeReceipt",
    "PurgeReceiptDay",
    "PurgeRun",
    "PurgeRunClass",
    "ReadBarrier",
    "ReconciledDay",
    "Registration",
    "SealedDay",
    "SetAsideLine",
    "Target",
    "Trunk",
]
