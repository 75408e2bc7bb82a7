"""The plan read from the store piece by piece, for one decision: as quick with a million numbers as with ten."""

from __future__ import annotations

from sqlalchemy.orm import Session

from ari_app.plan import Snapshot
from ringfence.queries import plan as plan_queries
from ringfence.queries.plan import ChangeKind
from ringfence.values import PlanAccount, PlanDid, PlanEndpoint


class StoredPlan(Snapshot):
    """A snapshot that holds the trunks, and reads numbers, accounts and phones when they are asked for.

    Args:
        session: an open transaction; used until the last question.
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        trunks = list(plan_queries.load_trunks(session))
        self.apply(plan_queries.current_version(session), [(ChangeKind.TRUNK, trunk.name, trunk) for trunk in trunks])

    def did(self, e164: str) -> PlanDid | None:
        """Return the DID, or None when it is not ours."""
        return plan_queries.load_did(self._session, e164)

    def account(self, account_id: int) -> PlanAccount | None:
        """Return the account, or None."""
        return next(plan_queries.load_accounts(self._session, [str(account_id)]), None)

    def endpoint(self, name: str) -> PlanEndpoint | None:
        """Return the phone, or None."""
        return next(plan_queries.load_endpoints(self._session, [name]), None)
