"""A row of a file of numbers, as a value: what it wants of one DID."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from dialplan.forwarding import ForwardingRules, parse_forwarding, parse_seconds, split_turns
from dialplan.number_use import check_did
from dialplan.numbers import classify, parse_number
from ringfence.provisioning import DidWish, check_ref

REQUIRED = ("number",)
OPTIONAL = ("account", "forward_to", "ring_seconds")


def parse_row(fields: Mapping[str, str], rules: ForwardingRules) -> DidWish:
    """Return what a row wants. A column that the file has not leaves things as they are; an empty cell takes away.

    Raises:
        Invalid: a field cannot be what it should be.
        Refused: the number cannot be a DID, or calls must not be forwarded to a target.
    """
    number = parse_number(fields["number"])
    check_did(number, allow_drama=rules.allow_drama)
    account = fields.get("account")
    if account:
        check_ref(account)
    if fields.get("ring_seconds"):
        rules = msgspec.structs.replace(rules, ring_seconds=parse_seconds(fields["ring_seconds"]))
    targets = None if "forward_to" not in fields else parse_forwarding(split_turns(fields["forward_to"]), rules).targets
    return DidWish(e164=number, number_class=classify(number), account=account, targets=targets)
