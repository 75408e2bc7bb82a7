"""The one way an audit entry is written as bytes. Whoever reads the log must be able to make the same bytes again.

JSON with sorted keys, no spaces, ASCII only, whole numbers only. `retention.verify` has its own copy of this rule on purpose.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any


def canonical(value: Any) -> str:
    """Return a value of texts, whole numbers, booleans, None, lists and mappings as its one JSON text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def moment(at: datetime) -> str:
    """Return an aware time as entries write it: UTC, six decimals, Z."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def leaf_text(seq: int, at: datetime, kind: str, actor: str, body: Mapping[str, Any]) -> str:
    """Return the text of an entry that the tree's leaf is the hash of."""
    return canonical({"actor": actor, "at": moment(at), "body": body, "kind": kind, "seq": seq})
