"""The checks behind published promises, by subject. Each computes what it shows from the live store, the files and the settings."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from retention.checks import mapped
from retention.claims.model import Check

CHECKS: Mapping[str, Check] = MappingProxyType({**mapped.CHECKS})
