"""Every published promise has a check that somebody confirmed for the text as it is."""

from __future__ import annotations

import re
from collections import Counter
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

import msgspec
import pytest

from retention.claims import register
from retention.claims.register import CheckStatus, Claim, ClaimKind, checks, claims, claims_of, disagreements, fingerprint, providers
from retention.policies.lint import weasel
from retention.policies.load import parse, shipped, shipped_keys, shipped_policy
from ringfence.errors import Misconfigured

OFFICE = files("retention.policies").joinpath("officenumber.toml").read_text(encoding="utf-8")


def test_all_87_promises_of_the_five_providers_are_registered() -> None:
    assert Counter(claim.provider for claim in claims()) == {
        "officenumber": 34,
        "numbergroup-network": 14,
        "voipoffice": 14,
        "numbergroup-utilities": 7,
        "voipfone": 18,
    }
    assert len({claim.id for claim in claims()}) == 87
    prefixes = {"officenumber": "ON", "numbergroup-network": "NN", "voipoffice": "VO", "numbergroup-utilities": "NU", "voipfone": "VF"}
    assert all(claim.id.startswith(f"{prefixes[claim.provider]}-") and claim.section and claim.says for claim in claims())
    assert {claim.kind for claim in claims()} == set(ClaimKind)


def test_every_promise_has_a_check_confirmed_for_its_present_text() -> None:
    for provider in providers():
        proofs = shipped_policy(provider.key).claims
        assert set(proofs) == {claim.id for claim in claims_of(provider.key)}
        for claim in claims_of(provider.key):
            assert proofs[claim.id].checks
            assert proofs[claim.id].text == fingerprint(claim), f"{claim.id} changed: read it again, then confirm its checks"


def test_every_check_proves_something_and_says_what() -> None:
    used = {check for policy in shipped().values() for proof in policy.claims.values() for check in proof.checks}
    assert used == set(checks())
    for check in checks().values():
        assert check.shows.endswith(".")
        assert re.fullmatch(r"[a-z][a-z0-9_]*", check.id)
        assert re.fullmatch(r"[a-z]+", check.feature)
        assert weasel(check.shows) is None


@pytest.mark.parametrize("claim_id", [claim.id for claim in claims_of("officenumber")])
def test_a_promise_without_a_check_does_not_load(claim_id: str) -> None:
    text = re.sub(rf'^"{re.escape(claim_id)}" = .*\n', "", OFFICE, flags=re.MULTILINE)
    with pytest.raises(Misconfigured, match=re.escape(f"claims.{claim_id}: is promised, and nothing proves it")):
        parse(text.encode(), "officenumber.toml")


@pytest.mark.parametrize("key", [key for key in shipped_keys() if key != "recommended"])
def test_a_promise_whose_text_changed_does_not_load_until_its_checks_are_confirmed(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = files("retention.policies").joinpath(f"{key}.toml").read_text(encoding="utf-8")
    changed = claims_of(key)[0]
    reworded = tuple(msgspec.structs.replace(claim, says=claim.says + " Or nearly.") if claim is changed else claim for claim in claims())
    monkeypatch.setattr(register, "claims", lambda: reworded)
    with pytest.raises(Misconfigured, match="changed after its checks were confirmed") as caught:
        parse(text.encode(), f"{key}.toml")
    assert f"claims.{changed.id}.text" in caught.value.message
    confirmed = text.replace(fingerprint(changed), fingerprint(msgspec.structs.replace(changed, says=changed.says + " Or nearly.")))
    assert parse(confirmed.encode(), f"{key}.toml").claims[changed.id].checks


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('checks = ["controller_contacts"]', "checks = []", "claims.ON-1.checks: is empty"),
        ('checks = ["controller_contacts"]', 'checks = ["no_such"]', "there is no check 'no_such'"),
        ('"ON-1" =', '"XX-1" =', "claims.XX-1: no published text holds this promise"),
        ('"ON-1" = { checks', '"ON-1" = { weight = 1, checks', "claims.ON-1: Object contains unknown field `weight`"),
    ],
)
def test_what_a_proof_may_not_say(old: str, new: str, says: str) -> None:
    assert OFFICE.count(old) == 1
    with pytest.raises(Misconfigured) as caught:
        parse(OFFICE.replace(old, new).encode(), "officenumber.toml")
    assert says in caught.value.message


def test_a_fingerprint_is_of_the_text() -> None:
    claim = Claim("ON-1", "1", ClaimKind.NOTIFY, "Said.")
    assert fingerprint(claim) == sha256(b"Said.").hexdigest()[:16]
    assert fingerprint(msgspec.structs.replace(claim, section="2")) == fingerprint(claim)


def test_the_table_and_the_code_must_agree() -> None:
    first, second = list(checks())[:2]
    table = {
        first: msgspec.structs.replace(checks()[first], status=CheckStatus.BUILT),
        second: msgspec.structs.replace(checks()[second], status=CheckStatus.NOT_BUILT),
    }
    assert disagreements(table, {first}) == []
    assert disagreements(table, set()) == [f"{first}: the table says built, no code runs it"]
    assert disagreements(table, {first, second}) == [f"{second}: code runs it, the table says not built"]
    assert disagreements(table, {first, "stray"}) == ["stray: code runs it, the table does not know it"]


def test_an_id_is_given_once(monkeypatch: pytest.MonkeyPatch) -> None:
    twice = register._File(providers()[0], (Claim("ON-1", "1", ClaimKind.NOTIFY, "a"), Claim("ON-1", "2", ClaimKind.NOTIFY, "b")))
    monkeypatch.setattr(register, "_files", lambda: (twice,))
    with pytest.raises(Misconfigured, match="ON-1"):
        register.claims.__wrapped__()


def test_a_damaged_register_names_its_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "checks.toml").write_text('[check.x]\nshows = "s."\nfeature = "f"\nstatus = "perhaps"\n', encoding="utf-8")
    monkeypatch.setattr(register, "files", lambda _: tmp_path)
    with pytest.raises(Misconfigured, match=r"claims/checks\.toml: .*perhaps"):
        register.checks.__wrapped__()
