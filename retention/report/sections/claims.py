"""Published promises: each with pass, fail, not checkable or not built, and the evidence of every check that it rests on."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

from retention.claims.checking import ClaimResult, Context, Evidence, Status, check_claims
from retention.claims.register import providers
from retention.report.model import Checked, Column, Kind, Opening, Openings, Section, Table
from retention.report.reading import Reading
from ringfence.output import plain
from ringfence.queries.asked import Asked

_COUNTS = (
    Column("provider", "Published by"),
    Column("in_force", "Policy in force here"),
    Column("pass", "Pass", Kind.COUNT),
    Column("fail", "Fail", Kind.COUNT),
    Column("not_checkable", "Not checkable", Kind.COUNT),
    Column("not_built", "Not built", Kind.COUNT),
)


def claims(reading: Reading) -> Section:
    """Return the section: the promises of the policies in force; when none of those has a published text, of every registered provider."""
    in_force = [policy.key for policy in reading.policies.all]
    known = [each for each in providers() if each.key in in_force] or list(providers())
    context = Context(reading.session, reading.settings, reading.clock, reading.recording, policies=reading.policies, balances=lambda: reading.balances)
    results = check_claims(context, known[0].key if len(known) == 1 else None)
    of = {each.key: [result for result in results if result.provider == each.key] for each in known}
    failed = [result for key in of if key in in_force for result in of[key] if result.status is Status.FAIL]
    counts = tuple({"provider": each.name, "in_force": "yes" if each.key in in_force else "no", **_counted(of[each.key])} for each in known)
    return Section(
        key="claims",
        title="Published promises",
        text=(
            "Each sentence of a published policy that says something about data is checked on the live system. "
            "Not checkable: the system holds nothing that could show it. Not built: the part that it is about is not there; it never counts as a pass."
        ),
        blocks=(
            Table("counts", "How many promises are kept", _COUNTS, counts),
            *(Openings(f"claims_{each.key}".replace("-", "_"), f"{each.name}: {each.service}", tuple(map(_opening, of[each.key]))) for each in known),
        ),
        exceptions=tuple(f"Promise {result.id} is not kept: {result.says}" for result in failed),
    )


def _counted(results: Sequence[ClaimResult]) -> dict[str, int]:
    found = Counter(result.status.value for result in results)
    return {status.value: found[status.value] for status in Status}


def _opening(result: ClaimResult) -> Opening:
    return Opening(result.id, result.says, result.status.value, tuple(map(_checked, result.evidence)))


def _checked(evidence: Evidence) -> Checked:
    result = "" if evidence.result is None else json.dumps(plain(evidence.result), sort_keys=True)
    asked = () if not evidence.query else (Asked(evidence.query, evidence.parameters, evidence.at),)
    return Checked(evidence.check, evidence.shows, evidence.status.value, evidence.reason, result, evidence.at, asked)
