"""Promises checked on a test's store: what is red, and what stands in the evidence."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from retention.claims.checking import ClaimResult, Context, Evidence, Status, check_claims
from retention.claims.register import claims
from retention.policies.load import shipped_policy
from ringfence.clock import FixedClock
from ringfence.queries.asked import recording
from ringfence.queries.conservation import begin_snapshot
from ringfence.session import make_sessions
from ringfence.settings import Controller, Settings
from tests.database.purging import NOW

Seed = Callable[[Session], object]
CONTROLLER = Controller(name="Example Numbers Ltd", privacy_contact="privacy@example.com", support_contact="support@example.com")


def orderly(settings: Settings) -> Settings:
    """Return settings in which nothing is amiss."""
    return msgspec.structs.replace(settings, controller=CONTROLLER)


def checked(
    engine: Engine, settings: Settings, clock: FixedClock | None = None, provider: str | None = None, *, seed: Seed | None = None, **context: object
) -> list[ClaimResult]:
    """Return how every promise stands, as `claims check` finds it. What `seed` does to the store before is undone afterwards."""
    clock = clock or FixedClock(NOW)
    with make_sessions(engine)() as session:
        if seed is None:
            begin_snapshot(session)
        else:
            seed(session)
            session.flush()
        with recording(session, clock) as asked:
            found = check_claims(Context(session, settings, clock, asked, **context), provider)  # type: ignore[arg-type]
        session.rollback()
        return found


def by_hand(*statements: str) -> Seed:
    """Return what somebody does to a store by hand; on PostgreSQL and SQLite as who owns it, past the triggers."""

    def seed(session: Session) -> None:
        connection = session.connection()
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        else:
            connection.exec_driver_sql("BEGIN")
            for name in connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'trigger'").scalars().all():
                connection.exec_driver_sql(f"DROP TRIGGER {name}")
        for statement in statements:
            connection.exec_driver_sql(statement)

    return seed


def red(results: list[ClaimResult]) -> set[str]:
    """Return the promises that are not kept."""
    return {result.id for result in results if result.status is Status.FAIL}


def evidence(results: list[ClaimResult], check: str) -> Evidence:
    """Return what one check found."""
    return next(each for result in results for each in result.evidence if each.check == check)


def resting_on(*checks: str) -> set[str]:
    """Return the promises that rest on any of the checks."""
    return {claim.id for claim in claims() if set(checks) & set(shipped_policy(claim.provider).claims[claim.id].checks)}
