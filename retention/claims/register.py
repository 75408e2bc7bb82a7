"""Reads the register of published promises and the table of checks.

    claims/<provider>.toml    what is promised: section, kind, and the promise in our own words
    claims/checks.toml        each check: what it shows, which feature brings it, whether it is built
    policies/<provider>.toml  which checks prove which promise, and the fingerprint of the text they were confirmed for

A promise whose text changes keeps no old proof: its fingerprint no longer fits, and the policy does not load.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from enum import StrEnum
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any, TypeVar

import msgspec

from ringfence.errors import Misconfigured

_CHECKS = "checks.toml"
_T = TypeVar("_T")
_FINGERPRINT = 16  # hex digits: 64 bits, against oversight, not against forgers


class ClaimKind(StrEnum):
    """What sort of promise it is."""

    COLLECT = "collect"
    NEVER_COLLECT = "never-collect"
    PURPOSE = "purpose"
    RETAIN = "retain"
    RIGHT = "right"
    DISCLOSE = "disclose"
    PROCESSOR = "processor"
    NOTIFY = "notify"
    SECURE = "secure"
    EMERGENCY = "emergency"
    ROUTE = "route"
    AUTOMATE = "automate"
    CONSENT = "consent"


class CheckStatus(StrEnum):
    """Whether a check can run."""

    BUILT = "built"
    NOT_BUILT = "not_built"


class Provider(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose published policy it is."""

    key: str
    name: str
    service: str  # what it sells, in a line


class Claim(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One promise."""

    id: str  # stable: policies, checks and reports refer to it
    section: str  # where the published text has it
    kind: ClaimKind
    says: str  # the promise in our own words
    provider: str = ""  # the provider's key, from the file


class Check(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What proves one or more promises."""

    shows: str  # what it computes from the live system, and what makes it fail
    feature: str  # the part of the product that brings it
    status: CheckStatus
    id: str = ""  # from the table's key


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    provider: Provider
    claim: tuple[Claim, ...]


class _Checks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    check: dict[str, Check]


@cache
def providers() -> tuple[Provider, ...]:
    """Return the providers whose promises are registered."""
    return tuple(_read(name, _File).provider for name in _provider_files())


@cache
def claims() -> tuple[Claim, ...]:
    """Return every promise of every provider, in the order of the files.

    Raises:
        Misconfigured: an id appears twice.
    """
    found = tuple(msgspec.structs.replace(claim, provider=file.provider.key) for file in _files() for claim in file.claim)
    ids = [claim.id for claim in found]
    twice = sorted({claim_id for claim_id in ids if ids.count(claim_id) > 1})
    if twice:
        raise Misconfigured(f"claims appear twice: {', '.join(twice)}", hint="each promise has an id of its own")
    return found


def claims_of(provider: str) -> tuple[Claim, ...]:
    """Return the promises of one provider; none for a key without a published text."""
    return tuple(claim for claim in claims() if claim.provider == provider)


@cache
def checks() -> Mapping[str, Check]:
    """Return the table of checks, by id."""
    return {name: msgspec.structs.replace(check, id=name) for name, check in _read(_CHECKS, _Checks).check.items()}


def check_ids() -> frozenset[str]:
    """Return the ids of all checks."""
    return frozenset(checks())


def fingerprint(claim: Claim) -> str:
    """Return the digest of a promise's text that its confirmed checks are bound to."""
    return sha256(claim.says.encode()).hexdigest()[:_FINGERPRINT]


def disagreements(table: Mapping[str, Check], implemented: Collection[str]) -> list[str]:
    """Return where the table and the code disagree: built and not there, there and not built, there and not in the table.

    Args:
        table: the checks, as `checks()` returns them.
        implemented: ids of the checks that the code can run.
    """
    found = [f"{name}: the table says built, no code runs it" for name, check in table.items() if check.status is CheckStatus.BUILT and name not in implemented]
    found += [f"{name}: code runs it, the table says not built" for name in implemented if name in table and table[name].status is CheckStatus.NOT_BUILT]
    return found + [f"{name}: code runs it, the table does not know it" for name in implemented if name not in table]


def _files() -> tuple[_File, ...]:
    return tuple(_read(name, _File) for name in _provider_files())


def _provider_files() -> list[str]:
    names = (path.name for path in files("retention.claims").iterdir())
    return sorted(name for name in names if name.endswith(".toml") and name != _CHECKS)


def _read(name: str, type_: type[_T]) -> _T:
    try:
        tree: dict[str, Any] = tomllib.loads(files("retention.claims").joinpath(name).read_text(encoding="utf-8"))
        return msgspec.convert(tree, type_)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise Misconfigured(f"claims/{name}: {error}", hint="the file came with the product: install it again") from error
