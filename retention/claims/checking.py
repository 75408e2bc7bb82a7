"""Runs the checks of published promises on the live system. What one check cannot do fails that check and no other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import structlog

from retention.checks import CHECKS
from retention.claims.model import WORST_FIRST, Check, ClaimResult, Context, Evidence, Finding, Status
from retention.claims.register import CheckStatus, checks, claims, claims_of, providers
from retention.policies.load import shipped_policy
from ringfence.errors import NotFound, RingfenceError
from ringfence.output import plain
from ringfence.queries.asked import Asked

__all__ = ["ClaimResult", "Context", "Evidence", "Finding", "Status", "check_claims", "worst"]

log = structlog.get_logger()


def check_claims(context: Context, provider: str | None = None, *, implemented: Mapping[str, Check] = CHECKS) -> list[ClaimResult]:
    """Return how each promise stands, in the order of the register. Each check runs once, however many promises rest on it.

    Args:
        context: the live system.
        provider: whose promises; None = every provider's.
        implemented: the checks that can run, by id.

    Raises:
        NotFound: no published text of that provider is registered.
    """
    known = [each.key for each in providers()]
    if provider is not None and provider not in known:
        raise NotFound(f"no promise of {provider!r} is registered", hint=f"known are {', '.join(known)}")
    proofs = {key: shipped_policy(key).claims for key in known if provider in {None, key}}
    found: dict[str, Evidence] = {}
    results = []
    for claim in claims_of(provider) if provider else claims():
        names = proofs[claim.provider][claim.id].checks
        for name in names:
            if name not in found:
                found[name] = _evidence(context, name, implemented)
        evidence = tuple(found[name] for name in names)
        results.append(ClaimResult(claim.id, claim.provider, claim.says, worst(each.status for each in evidence), evidence))
    return results


def worst(statuses: Iterable[Status]) -> Status:
    """Return the status of what rests on several checks: a fail outweighs what is not built, that what cannot be checked, that a pass."""
    return min(statuses, key=WORST_FIRST.index)


def _evidence(context: Context, name: str, implemented: Mapping[str, Check]) -> Evidence:
    entry, run = checks()[name], implemented.get(name)
    context.recording.taken()
    if run is None or entry.status is CheckStatus.NOT_BUILT:
        finding = Finding(Status.NOT_BUILT, None, f"comes with the part '{entry.feature}'")
    else:
        finding = _run(context, name, run)
    query, parameters = _told(context.recording.taken())
    return Evidence(name, entry.shows, finding.status, query, parameters, plain(finding.result), context.clock.now(), finding.reason)


def _run(context: Context, name: str, run: Check) -> Finding:
    """Run a check apart from the others: on PostgreSQL a statement that fails would take the whole transaction with it."""
    try:
        with context.session.begin_nested():
            return run(context)
    except RingfenceError as error:
        return Finding(Status.FAIL, None, f"{type(error).__name__}: {error.message}")
    except Exception as error:  # noqa: BLE001  whatever it is, the next check has its turn
        log.warning("check_failed", check=name, error=type(error).__name__)
        return Finding(Status.FAIL, None, type(error).__name__)


def _told(asked: Sequence[Asked]) -> tuple[str, dict[str, Any]]:
    """Return the questions as one text, and their parameters; of several questions each parameter bears its question's number."""
    if len(asked) == 1:
        return asked[0].query, dict(asked[0].parameters)
    numbered = list(enumerate(asked, 1))
    parameters = {f"{number}.{key}": value for number, each in numbered for key, value in each.parameters.items()}
    return ";\n".join(f"-- {number}\n{each.query}" for number, each in numbered), parameters
