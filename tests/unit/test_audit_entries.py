"""What may enter the audit log, and how it is written."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.audit import shapes
from ringfence.audit.canonical import canonical, leaf_text, moment
from ringfence.audit.keys import load_signer, make_key
from ringfence.audit.kinds import KINDS, check
from ringfence.audit.log import new_id
from ringfence.errors import Conflict, Invalid, Misconfigured
from ringfence.settings import Audit, Settings
from tests.unit.bundles import story

NUMBERS = ["+442079460123", "442079460123", "02079460123", "07700900123", "7700900123", "07700 900123", "07700-900-123", "0x7700900123", "tel.07700900123"]
PEOPLE = ["Alice Example", "alice@example.com", "ACME", "12 Example Street", "", "a" * 61, "näme"]
HONEST = [(draft.kind, draft.actor, dict(draft.fields)) for draft in story()]


@pytest.mark.parametrize(("kind", "actor", "fields"), HONEST)
def test_what_tells_of_no_person_may_enter(kind: str, actor: str, fields: dict[str, object]) -> None:
    check(kind, actor, fields)


@pytest.mark.parametrize("value", [*NUMBERS, *PEOPLE, 442079460123, 7700900123, -1, 1.5, True, ["Alice"], {"a": 1}])
@pytest.mark.parametrize(("kind", "actor", "fields"), HONEST[:7], ids=[kind for kind, _, _ in HONEST[:7]])
def test_no_field_has_room_for_a_number_or_a_name(kind: str, actor: str, fields: dict[str, object], value: object) -> None:
    for field in fields:
        with pytest.raises(Invalid) as refused:
            check(kind, actor, {**fields, field: value})
        assert str(value) not in refused.value.message or str(value) in {"", "True", "-1", "1.5"}


@settings(max_examples=200)
@given(
    st.sampled_from(HONEST),
    st.data(),
    st.from_regex(r"(\+44|44|0)(7700900\d{3}|2079460\d{3}|1174960\d{3})", fullmatch=True),
    st.text(max_size=4),
    st.text(max_size=4),
)
def test_no_telephone_number_enters_in_any_dress(entry: tuple[str, str, dict[str, object]], data: st.DataObject, number: str, before: str, after: str) -> None:
    kind, actor, fields = entry
    field = data.draw(st.sampled_from(sorted(fields)))
    for value in (before + number + after, " ".join(number), int(number.lstrip("+"))):
        if isinstance(value, int) and value < 10**9:
            continue
        with pytest.raises(Invalid):
            check(kind, actor, {**fields, field: value})


@pytest.mark.parametrize("actor", ["alice", "operator:alice", "operator:" + "1" * 32, "node:447700900123", "", "system ", "System", "operator:"])
def test_an_actor_is_a_role_never_a_person(actor: str) -> None:
    with pytest.raises(Invalid, match="actor"):
        check("purge.key_destroyed", actor, {"run": new_id()})


@pytest.mark.parametrize("actor", ["system", "worker", "operator", "node:lon-1", "operator:" + "0a" * 16])
def test_roles_are_actors(actor: str) -> None:
    check("purge.key_destroyed", actor, {"run": new_id()})


def test_only_known_kinds_with_exactly_their_fields() -> None:
    for kind, fields in (("call.made", {}), ("purge.key_destroyed", {}), ("purge.key_destroyed", {"run": new_id(), "why": "x"})):
        with pytest.raises(Invalid):
            check(kind, "system", fields)
    assert all(len(kind) <= 40 for kind in KINDS)


def test_ids_and_digests_are_no_numbers_in_disguise() -> None:
    assert all(shapes.random_id(new_id()) for _ in range(100))
    assert not shapes.random_id("447700900123".rjust(32, "0"))
    assert not shapes.digest("447700900123".rjust(64, "0"))


def test_an_entry_has_one_way_to_be_written() -> None:
    at = datetime(2026, 3, 29, 2, 30, tzinfo=timezone(timedelta(hours=1)))
    assert moment(at) == "2026-03-29T01:30:00.000000Z"
    assert leaf_text(7, at, "a.b", "system", {"z": 1, "a": ["é", None]}) == (
        '{"actor":"system","at":"2026-03-29T01:30:00.000000Z","body":{"a":["\\u00e9",null],"z":1},"kind":"a.b","seq":7}'
    )
    assert json.loads(canonical({"b": 1, "a": True})) == {"a": True, "b": 1}
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical(float("nan"))
    assert moment(datetime(2026, 1, 1, tzinfo=UTC)) < moment(datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC))


def test_the_key_is_made_once_and_kept_secret(tmp_path: Path) -> None:
    settings = Settings(home=str(tmp_path), audit=Audit(origin="example.com/ringfence"))
    with pytest.raises(Misconfigured, match="no audit key"):
        load_signer(settings)
    made = make_key(settings)
    assert settings.audit_key_path.stat().st_mode & 0o777 == 0o600
    assert (settings.audit_dir / "verifier-key").read_text() == made.verifier_key + "\n"
    assert load_signer(settings).verifier_key == made.verifier_key
    with pytest.raises(Conflict):
        make_key(settings)
    text = settings.audit_key_path.read_text()
    for spoilt in (text[:-4], text.replace("PRIVATE", "PUBLIC"), text.replace("example", "exbmple"), "x"):
        settings.audit_key_path.write_text(spoilt)
        with pytest.raises(Misconfigured, match="does not hold"):
            load_signer(settings)
    settings.audit_key_path.chmod(0o644)
    with pytest.raises(Misconfigured, match="others can read"):
        load_signer(settings)
