"""The check on secret holds: nothing that others read says that there is one. The answer is the same with and without."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from retention import holds
from retention.claims.model import Check, Context, Finding, verdict
from ringfence.queries import proof


def secret_holds_hidden(context: Context) -> Finding:
    """Look for secret holds in what ordinary reports read: the list, the evidence of a bundle, the holds' versions, the audit log."""
    listed = [hold.id for hold in holds.list_visible(context.session, released=True)]
    bundled = [hold.hold for hold in holds.evidence(context.session)]
    found = {
        "in_the_list": proof.shown_holds(context.session, listed),
        "in_evidence_bundles": proof.shown_holds(context.session, bundled),
        "with_a_version": proof.leaking_holds(context.session),
        "in_the_audit_log": proof.told_of_secret_holds(context.session),
    }
    return verdict(sum(found.values()), {"secret_holds_shown": found}, "a secret hold can be seen by others than its keeper")


CHECKS: Mapping[str, Check] = MappingProxyType({"secret_holds_hidden": secret_holds_hidden})
