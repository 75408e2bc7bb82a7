"""What each data class is, on what legal basis it is held, and what it copies: the vocabulary of policies and of the data map.

Which columns and files belong to a class is in the data map; how long it is kept is in the policy.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

import msgspec

from ringfence.models.base import DataClass


class LegalBasis(StrEnum):
    """On what a processing rests (UK GDPR art. 6(1); claim NN-13)."""

    CONTRACT = "contract"
    LEGITIMATE_INTEREST = "legitimate_interest"
    CONSENT = "consent"
    LEGAL_OBLIGATION = "legal_obligation"
    VITAL_INTEREST = "vital_interest"


class Source(StrEnum):
    """Where a datum comes from (claim VO-3)."""

    CUSTOMER = "customer"  # the person gave it
    OPERATOR = "operator"  # the operator's staff entered it
    CARRIER = "carrier"  # a third party sent it
    AUTHORITY = "authority"  # somebody with a legal power sent it
    LEDGER = "ledger"  # it arose from delivering the service
    SYSTEM = "system"  # it arose automatically


class Action(StrEnum):
    """What happens at the end of a window."""

    DELETE = "delete"
    ANONYMISE = "anonymise"  # what says something about a person goes, the rest stays
    KEEP = "keep"  # nothing; only for what says nothing about a person


class StartEvent(StrEnum):
    """The event a window or a minimum runs from."""

    CALL_STARTED = "call_started"  # the day of the communication
    CALL_ENDED = "call_ended"
    MESSAGE_HANDLED = "message_handled"  # an SMS came in
    RECORDED = "recorded"  # the row or file was written; for a file its last line
    BILLED = "billed"  # the charge was made
    FINANCIAL_YEAR_END = "financial_year_end"  # the end of the financial year of the charge
    ACCOUNT_CLOSED = "account_closed"
    NUMBER_RELEASED = "number_released"  # the number left its owner
    SUPERSEDED = "superseded"  # a newer version took its place, or its number left
    CASE_CLOSED = "case_closed"  # the request, complaint, incident, hold or case was closed
    WITHDRAWN = "withdrawn"  # the consent was withdrawn
    STAFF_LEFT = "staff_left"
    CONTRACT_ENDED = "contract_ended"


class ClassFacts(msgspec.Struct, frozen=True):
    """What a data class is, whatever policy is in force."""

    description: str  # what it holds, for people outside
    basis: LegalBasis
    personal: bool = True  # may it hold something about a person? Then it has an end
    copies: tuple[DataClass, ...] = ()  # classes whose data it repeats: it must not outlive them


_CONTRACT, _INTEREST, _CONSENT, _DUTY, _VITAL = LegalBasis

CLASSES: Mapping[DataClass, ClassFacts] = MappingProxyType(
    {
        DataClass.ACCOUNT: ClassFacts("Customers: names, contacts, addresses, their phones and settings.", _CONTRACT),
        DataClass.NUMBERING: ClassFacts("Numbers, who had which when, and where they forward to.", _CONTRACT),
        DataClass.TRUNKING: ClassFacts("Trunks to the operator's own carriers.", _INTEREST, personal=False),
        DataClass.PROCESSOR: ClassFacts("Who processes data for the operator, their contracts and assurances.", _DUTY),
        DataClass.CALL_LOG: ClassFacts("Call detail records: who called whom, when, how long, how it ended.", _CONTRACT),
        DataClass.SMS_LOG: ClassFacts("Message records: from, to, when, what became of it; never the text.", _CONTRACT),
        DataClass.REGISTRATION: ClassFacts("From which address and with which device a phone registered.", _INTEREST),
        DataClass.BILLING: ClassFacts("Invoice lines, charges and payments, without third parties' numbers; last 4 digits of a card.", _DUTY),
        DataClass.VOICEMAIL: ClassFacts("Messages that callers left: rows and sound files.", _CONTRACT),
        DataClass.RECORDING: ClassFacts("Calls that a customer had recorded: rows and sound files.", _CONTRACT),
        DataClass.SERVICE_RECORDING: ClassFacts("Calls to the operator's own service lines, recorded after an announcement.", _INTEREST),
        DataClass.SOUND: ClassFacts("Greetings, prompts and hold music that customers uploaded.", _CONTRACT),
        DataClass.EMERGENCY_ADDRESS: ClassFacts("Where a number is used, for the emergency services; every version.", _DUTY),
        DataClass.EMERGENCY_CALL: ClassFacts("Calls to 999 and 112, and look-ups for the emergency services.", _VITAL),
        DataClass.EMERGENCY_TEST: ClassFacts("Tests of the way to 999, and what was changed before them.", _DUTY),
        DataClass.CONTACT: ClassFacts("Notes, mails and chats with a customer.", _CONTRACT),
        DataClass.COMPLAINT: ClassFacts("Complaints, their clocks and their answers.", _DUTY),
        DataClass.NOTICE: ClassFacts("Messages to customers, and whether they arrived.", _CONTRACT),
        DataClass.CONSENT: ClassFacts("What somebody agreed to, declared or opted into, and when it was withdrawn.", _DUTY),
        DataClass.SUPPRESSION: ClassFacts("Who said STOP, as a keyed digest of the number.", _DUTY),
        DataClass.RIGHTS_REQUEST: ClassFacts("Requests for access, correction, erasure and their kin, and the answers.", _DUTY),
        DataClass.DISCLOSURE: ClassFacts("What authorities asked for, under which power, and what they got.", _DUTY),
        DataClass.LEGAL_HOLD: ClassFacts("What must not be deleted, why, and until when.", _DUTY),
        DataClass.INCIDENT: ClassFacts("Breaches and other incidents, who was affected and who was told.", _DUTY),
        DataClass.ABUSE_CASE: ClassFacts("Signals of abuse, automatic suspensions and their review by a person.", _INTEREST),
        DataClass.OPERATOR: ClassFacts("The operator's own staff: names, roles, password digests.", _INTEREST),
        DataClass.ACCESS_LOG: ClassFacts("Who signed in from where, and who read which personal data for which purpose.", _INTEREST),
        DataClass.AUDIT_LOG: ClassFacts("Acts that were done, in a tree that shows tampering; people appear under random ids only.", _DUTY),
        DataClass.PROOF: ClassFacts("Purge runs, receipts, sealed counts, erasures to repeat after a restore, policies and their approvals.", _DUTY),
        DataClass.AGGREGATE: ClassFacts("Counts by hour, trunk and destination type that identify nobody.", _INTEREST, personal=False),
        DataClass.PLAN_CHANGE: ClassFacts("Which numbers a change of the routing plan touched, so that every process follows.", _CONTRACT),
        DataClass.LEDGER: ClassFacts("Files: the switch's own ledger, and the journal of decisions.", _CONTRACT, copies=(DataClass.CALL_LOG,)),
        DataClass.SPOOL: ClassFacts("Files: messages and notices on their way.", _CONTRACT, copies=(DataClass.SMS_LOG, DataClass.NOTICE)),
        DataClass.EXPORT: ClassFacts("Files: what was exported for somebody, and reports.", _DUTY, copies=(DataClass.CALL_LOG, DataClass.SMS_LOG)),
        DataClass.BACKUP: ClassFacts("Files: encrypted copies of the store and of customers' files.", _DUTY),
        DataClass.LOG: ClassFacts("Files: what the daemons and Asterisk say; numbers masked, addresses of SIP peers shown.", _INTEREST),
        DataClass.OPERATIONAL: ClassFacts("How the system runs.", _INTEREST, personal=False),
    }
)

NOT_HELD: Mapping[str, str] = MappingProxyType(
    {
        "fax": "No fax is received or stored (VO-2b).",
        "chat": "The product has no chat; chats with the operator's support are contact notes (VO-2b).",
        "avatar": "No picture of a person is stored (VO-2b).",
        "phonebook": "The central phonebook is download only: no interface takes contacts from a device (VO-7).",
        "card_number": "Card numbers and security codes never reach the product; at most the last 4 digits do (ON-2.1b, VF-8).",
        "sms_text": "The text of a message is passed on and never stored (ON-2.2c).",
        "call_content": "No call is recorded unless the customer switched it on, or the line announces it (ON-2.2c, VF-13).",
    }
)
