"""The checks behind published promises, by subject. Each computes what it shows from the live store, the files and the settings."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from retention.checks import accountability, calls, cards, emergency, holds, identity, installation, kept_counts, mapped, minimums, remains, windows
from retention.claims.model import Check

_SUBJECTS = (mapped, windows, minimums, kept_counts, holds, remains, accountability, installation, cards, calls, identity, emergency)
CHECKS: Mapping[str, Check] = MappingProxyType({name: run for subject in _SUBJECTS for name, run in subject.CHECKS.items()})
