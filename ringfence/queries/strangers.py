"""What a store holds that no demonstration put there."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import and_, func, not_, or_, select
from sqlalchemy.orm import Session

from ringfence.models import Account, Call, Did, InvoiceLine


def strangers(session: Session, refs: Collection[str], numbers: Collection[str], codes: Collection[str]) -> dict[str, int]:
    """Return how many accounts, numbers, calls and invoice lines are not of a demonstration; what there is none of is left out.

    Args:
        session: an open transaction.
        refs: a demonstration's accounts.
        numbers: how its numbers begin.
        codes: what its phones may call besides, from one of its numbers.
    """
    ours = or_(*(func.coalesce(Call.did, "").startswith(number) for number in numbers))
    made = or_(*(Call.called.startswith(number) for number in numbers), and_(Call.called.in_(codes), ours))
    owners = select(Account.id).where(Account.ref.in_(refs))
    asked = {
        "account": select(func.count()).select_from(Account).where(Account.ref.not_in(refs)),
        "number": select(func.count()).select_from(Did).where(not_(or_(*(Did.e164.startswith(number) for number in numbers)))),
        "call": select(func.count()).select_from(Call).where(not_(made)),
        "invoice line": select(func.count()).select_from(InvoiceLine).where(InvoiceLine.account_id.not_in(owners)),
    }
    counts = {what: session.scalar(query) or 0 for what, query in asked.items()}
    return {what: count for what, count in counts.items() if count}
