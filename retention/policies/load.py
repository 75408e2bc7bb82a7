"""Reads policy files: strict about keys, types and sense. An error names the file, the key and the next step."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from datetime import date
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from retention.calendar import Period, YearEnd, parse_period, parse_year_end
from retention.claims.register import Claim, check_ids, claims_of, fingerprint
from retention.datamap import column_classes
from retention.policies.lint import Fault, faults, weasel
from retention.policies.model import Policy, Proof, Rule
from ringfence.errors import Invalid, Misconfigured, NotFound
from ringfence.models import Base
from ringfence.models.base import DataClass

RECOMMENDED = "recommended"
_CALENDAR: dict[str, Callable[[str], Any]] = {
    "window": parse_period,
    "minimum": parse_period,
    "notice": parse_period,
    "approval_expires": parse_period,
    "financial_year_end": parse_year_end,
}
_LARGEST = 256 * 1024  # bytes; the shipped ones have about 10,000
_T = TypeVar("_T")
_KEY = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


class _Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A policy file outside its tables."""

    name: str
    version: int
    effective: date
    notice: Period
    approval_expires: Period
    financial_year_end: YearEnd


def shipped() -> dict[str, Policy]:
    """Return the policies that come with the product, by key: the recommended one and one for each provider."""
    return {key: shipped_policy(key) for key in shipped_keys()}


def shipped_keys() -> list[str]:
    """Return the keys of the policies that come with the product, in order."""
    return sorted(path.name.removesuffix(".toml") for path in files("retention.policies").iterdir() if path.name.endswith(".toml"))


@cache
def shipped_policy(key: str) -> Policy:
    """Return one policy that comes with the product; its file is read once.

    Raises:
        NotFound: there is none of this name.
    """
    return parse(shipped_text(key), f"{key}.toml")


def shipped_text(key: str) -> bytes:
    """Return the file of a policy that comes with the product.

    Raises:
        NotFound: there is none of this name.
    """
    if key not in shipped_keys():
        raise NotFound(f"there is no policy {key!r}", hint=f"known are {', '.join(shipped_keys())}")
    return files("retention.policies").joinpath(f"{key}.toml").read_bytes()


def load(path: Path) -> Policy:
    """Return the policy in a file; its name is the policy's key.

    Raises:
        Misconfigured: it cannot be read, or says something that cannot be.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise Misconfigured(f"cannot read the policy {path}: {error.strerror}", hint="check its name and its permissions") from error
    return parse(content, path.name)


def parse(content: bytes, file: str, columns: Mapping[str, DataClass] | None = None) -> Policy:
    """Return the policy that a file's content says.

    Args:
        content: TOML in UTF-8.
        file: the file's name, for the key and for errors.
        columns: the class of each column, by 'table.column'; None = those of the models.

    Raises:
        Misconfigured: it says something that cannot be; every fault is named.
    """
    key = file.removesuffix(".toml")
    if not _KEY.fullmatch(key):
        raise Misconfigured(f"{key!r} is not a policy's key", hint="name the file with lower-case letters, digits and '-'")
    if len(content) > _LARGEST:
        raise Misconfigured(f"{file} is larger than {_LARGEST} bytes", hint="a policy is a page, not a book")
    try:
        tree = tomllib.loads(content.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise Misconfigured(f"{file}: {error}", hint="it must be TOML in UTF-8") from error
    tables = {name: _table(file, name, tree.pop(name, {})) for name in ("class", "claims")}
    head = _convert(file, "", tree, _Head)
    if head.version < 1:
        raise Misconfigured(f"{file}: version: {head.version} is not a version", hint="number the versions from 1")
    rules = {_data_class(file, name): _convert(file, f"class.{name}", table, Rule) for name, table in tables["class"].items()}
    proofs = {name: _convert(file, f"claims.{name}", table, Proof) for name, table in tables["claims"].items()}
    found = [*faults(rules, column_classes(Base.metadata) if columns is None else columns), *_claim_faults(rules, proofs, {c.id: c for c in claims_of(key)})]
    if found:
        _refuse(file, found)
    return Policy(
        key=key,
        name=head.name,
        version=head.version,
        effective=head.effective,
        notice=head.notice,
        approval_expires=head.approval_expires,
        year_end=head.financial_year_end,
        rules=rules,
        claims=proofs,
        sha256=sha256(content).hexdigest(),
    )


def _claim_faults(rules: Mapping[DataClass, Rule], proofs: Mapping[str, Proof], published: Mapping[str, Claim]) -> list[Fault]:
    known = check_ids()
    found = [Fault(f"claims.{claim_id}", "is promised, and nothing proves it", "name its checks") for claim_id in published if claim_id not in proofs]
    for claim_id, proof in proofs.items():
        where = f"claims.{claim_id}"
        if claim_id not in published:
            found.append(Fault(where, "no published text holds this promise", f"add it to the register, or remove {where}"))
            continue
        if not proof.checks:
            found.append(Fault(f"{where}.checks", "is empty", "name at least one check of claims/checks.toml"))
        found += [Fault(f"{where}.checks", f"there is no check {check!r}", "add it to claims/checks.toml") for check in proof.checks if check not in known]
        wanted = fingerprint(published[claim_id])
        if proof.text != wanted:
            hint = f'read the promise again; if {", ".join(proof.checks)} still proves it, write text = "{wanted}"'
            found.append(Fault(f"{where}.text", "the promise's text changed after its checks were confirmed", hint))
    for data_class, rule in rules.items():
        strange = [claim_id for claim_id in rule.claims if claim_id not in published]
        found += [Fault(f"class.{data_class.value}.claims", f"no published text holds {claim_id}", "remove it") for claim_id in strange]
    return found


def _refuse(file: str, found: list[Fault]) -> None:
    lines = [f"{file}: {fault.where}: {fault.what}" for fault in found]
    hints = list(dict.fromkeys(fault.hint for fault in found))
    raise Misconfigured("; ".join(lines), hint="; ".join(hints[:3]))


def _table(file: str, name: str, value: Any) -> dict[str, dict[str, Any]]:
    if not isinstance(value, dict) or not all(isinstance(inner, dict) for inner in value.values()):
        raise Misconfigured(f"{file}: {name} is not a table of tables", hint=f"write [{name}.<name>] and its keys below")
    return value


def _data_class(file: str, name: str) -> DataClass:
    try:
        return DataClass(name)
    except ValueError:
        raise Misconfigured(f"{file}: class.{name}: there is no data class {name!r}", hint=f"known are {', '.join(DataClass)}") from None


def _convert(file: str, where: str, table: Mapping[str, Any], type_: type[_T]) -> _T:
    try:
        return msgspec.convert({key: _calendar_value(key, value) for key, value in table.items()}, type_, from_attributes=True)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `$")
        raise _wrong(file, f"{where}{path.rstrip('`')}", what) from error
    except Invalid as error:
        raise Misconfigured(f"{file}: {f'{where}.{error.message}'.lstrip('.')}", hint=error.hint) from error


def _calendar_value(key: str, value: Any) -> Any:
    """Return the value of a key, parsed when it is a period or a day of the year."""
    parse_value = _CALENDAR.get(key)
    if parse_value is None:
        return value
    if not isinstance(value, str):
        raise Invalid(f"{key}: {value!r} is not text", hint='write it as "P12M"')
    word = weasel(value)
    if word:
        raise Invalid(f"{key}: {word!r} is no number", hint='a window is always a number: write it as "P30D"')
    try:
        return parse_value(value)
    except Invalid as error:
        raise Invalid(f"{key}: {error.message}", hint=error.hint) from error


def _wrong(file: str, key: str, what: str) -> Misconfigured:
    return Misconfigured(f"{file}: {key.lstrip('.') or 'the file'}: {what}", hint="docs/design/policies.md lists every key")
