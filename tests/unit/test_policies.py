from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retention.calendar import Period, cutoff, never_shorter
from retention.claims.register import claims_of, providers
from retention.classes import CLASSES, Action, StartEvent
from retention.policies.lint import weasel
from retention.policies.load import RECOMMENDED, load, parse, shipped, shipped_keys, shipped_policy
from retention.policies.model import Policy
from retention.purge.governing import digest
from retention.verify import calendar as verify_calendar
from ringfence.errors import Misconfigured, NotFound, RingfenceError
from ringfence.models.base import DataClass

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
TEXT = files("retention.policies").joinpath("officenumber.toml").read_text(encoding="utf-8")


def refused(text: str, file: str = "officenumber.toml") -> Misconfigured:
    with pytest.raises(Misconfigured) as caught:
        parse(text.encode(), file)
    assert caught.value.hint, "an error names the next step"
    assert caught.value.message.startswith(f"{file}: ")
    return caught.value


def changed(old: str, new: str) -> str:
    assert TEXT.count(old) >= 1
    return TEXT.replace(old, new, 1)


def in_class(name: str, change: Callable[[str], str]) -> str:
    """The shipped policy with one class's table changed."""
    before, mark, rest = TEXT.partition(f"[class.{name}]\n")
    table, gap, after = rest.partition("\n\n")
    assert mark
    return before + mark + change(table) + gap + after


def test_there_is_one_for_each_provider_and_a_recommended_one() -> None:
    assert set(shipped_keys()) == {provider.key for provider in providers()} | {RECOMMENDED}
    assert {policy.name for policy in shipped().values()} == {provider.name for provider in providers()} | {"Recommended"}


@pytest.mark.parametrize("key", shipped_keys())
def test_every_class_has_an_end_unless_it_says_nothing_about_a_person(key: str) -> None:
    policy = shipped_policy(key)
    assert set(policy.rules) == set(DataClass)
    for data_class, rule in policy.rules.items():
        assert rule.legal
        if rule.action is Action.KEEP:
            assert not CLASSES[data_class].personal
            assert policy.cutoff(data_class, NOW) is None
        else:
            assert rule.window is not None
            assert rule.start is not None


def window(key: str, data_class: DataClass) -> str:
    return str(shipped_policy(key).rules[data_class].window)


def test_what_the_providers_promise() -> None:
    """ON-6b, ON-6c, ON-3.3a, VF-14, VF-17."""
    office, voipfone = shipped_policy("officenumber"), shipped_policy("voipfone")
    assert {window("officenumber", c) for c in (DataClass.CALL_LOG, DataClass.SMS_LOG)} == {"P12M"}
    for data_class in (DataClass.ACCOUNT, DataClass.BILLING):
        rule = office.rules[data_class]
        assert (rule.window, rule.start) == (Period(months=72), StartEvent.ACCOUNT_CLOSED)
    assert all(policy.rules[DataClass.BILLING].minimum == Period(months=72) for policy in shipped().values())
    assert window("voipfone", DataClass.VOICEMAIL) == "P30D"
    a_year = {c for c, rule in voipfone.rules.items() if rule.minimum and never_shorter(rule.minimum, Period(months=12))}
    assert {DataClass.CALL_LOG, DataClass.SMS_LOG, DataClass.ACCOUNT, DataClass.BILLING, DataClass.REGISTRATION, DataClass.SERVICE_RECORDING} <= a_year
    assert all(f"VF-{number}" in {claim for rule in voipfone.rules.values() for claim in rule.claims} for number in (9, 11, 12, 14, 17))


def test_a_policy_knows_its_text_and_its_cutoffs() -> None:
    policy = shipped_policy("officenumber")
    assert policy.sha256 == sha256(TEXT.encode()).hexdigest()
    found = policy.cutoff(DataClass.CALL_LOG, NOW)
    assert found is not None
    assert (found.data_class, found.policy, found.policy_version, found.period, found.start) == ("call_log", "officenumber", 1, Period(12), "call_started")
    assert (found.at, found.computed_at, found.year_end) == (cutoff(NOW, Period(12)), NOW, None)
    assert policy.minimum_cutoff(DataClass.CALL_LOG, NOW) is None


def test_a_minimum_has_a_cutoff_of_its_own() -> None:
    policy = shipped_policy("recommended")
    window_over, minimum_over = policy.cutoff(DataClass.BILLING, NOW), policy.minimum_cutoff(DataClass.BILLING, NOW)
    assert window_over is not None
    assert minimum_over is not None
    assert minimum_over.start == "financial_year_end"
    assert (minimum_over.year_end, window_over.year_end) == (policy.year_end, policy.year_end)
    assert minimum_over.at == datetime(2020, 3, 31, 23, tzinfo=UTC)  # the year that ended on 31 March 2020
    assert window_over.at <= minimum_over.at


def test_a_file_of_an_operator_s_own_loads(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(files("retention.policies").joinpath("recommended.toml").read_text(encoding="utf-8"), encoding="utf-8")
    assert load(path).key == "mine"
    with pytest.raises(Misconfigured, match="cannot read"):
        load(tmp_path / "missing.toml")
    path.write_bytes(b"#" * (256 * 1024 + 1))
    with pytest.raises(Misconfigured, match="larger"):
        load(path)


def test_an_unknown_policy_is_not_found() -> None:
    with pytest.raises(NotFound, match="nobody"):
        shipped_policy("nobody")
    with pytest.raises(NotFound):
        shipped_policy("../claims/checks")


@pytest.mark.parametrize("vague", ["regularly", "as long as necessary", "from time to time", "typically P6Y", "Indefinitely"])
def test_a_window_is_a_number(vague: str) -> None:
    error = refused(in_class("voicemail", lambda table: table.replace('"P30D"', f'"{vague}"')))
    assert "class.voicemail.window" in error.message
    assert "number" in error.hint


@pytest.mark.parametrize("key", ["legal", "minimum_legal"])
def test_a_reason_is_not_vague_either(key: str) -> None:
    error = refused(in_class("billing", lambda table: re.sub(rf'^{key} = ".*"$', f'{key} = "kept as needed"', table, flags=re.MULTILINE)))
    assert f"class.billing.{key}: says 'as needed'" in error.message


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('window = "P24M"', 'windows = "P24M"', "class.numbering: Object contains unknown field `windows`"),
        ('window = "P24M"', "window = 24", "class.numbering.window: 24 is not text"),
        ('window = "P24M"', 'window = "P24H"', "class.numbering.window: 'P24H' is not a period"),
        ('window = "P24M"\n', "", "class.numbering.window: is missing"),
        ('from = "call_started"', 'from = "sometime"', "class.call_log.from: Invalid enum value 'sometime'"),
        ("[class.voicemail]", "[class.voicemails]", "class.voicemails: there is no data class 'voicemails'"),
        ("version = 1", "version = 0", "version: 0 is not a version"),
        ("version = 1", 'version = "1"', "version: Expected `int`"),
        ("effective = 2026-11-01", 'effective = "soon"', "effective: "),
        ('notice = "P30D"', 'notice = "a month"', "notice: 'a month' is not a period"),
        ('financial_year_end = "03-31"', 'financial_year_end = "03-32"', "financial_year_end: '03-32' is not"),
        ('name = "OfficeNumber"', 'name = "OfficeNumber"\nowner = "x"', "unknown field `owner`"),
        ("[claims]", "[claims]\nx = 1", "claims is not a table of tables"),
        ('action = "keep"', 'action = "keep"\nwindow = "P1D"', "class.trunking.action: keeps, and yet"),
        ("version = 1\n", "version = 1\n[", "officenumber.toml: "),
    ],
)
def test_errors_name_file_and_key(old: str, new: str, says: str) -> None:
    assert says in refused(changed(old, new)).message


def test_a_class_without_a_rule_is_refused() -> None:
    error = refused(re.sub(r"\[class\.voicemail\][^\[]+", "", TEXT))
    assert "class.voicemail: has no rule" in error.message


def test_personal_data_are_not_kept_without_an_end() -> None:
    error = refused(in_class("account", lambda _: 'action = "keep"\nlegal = "x"'))
    assert "class.account.action: keeps personal data without an end" in error.message


def test_a_window_below_its_minimum_is_refused() -> None:
    error = refused(in_class("billing", lambda table: table.replace('window = "P6Y"', 'window = "P71M"')))
    assert "class.billing.window: P71M is shorter than its minimum P6Y" in error.message


def test_a_minimum_names_what_demands_it() -> None:
    assert "minimum_legal: is empty" in refused(in_class("sound", lambda table: table + '\nminimum = "P1D"')).message


def test_a_copy_does_not_outlive_the_original() -> None:
    """ON-6c holds in every place where a copy lies."""
    error = refused(in_class("ledger", lambda table: table.replace('"P3M"', '"P13M"')))
    assert "class.ledger.window: P13M is longer than the P12M of call_log" in error.message


def test_two_purposes_that_cannot_both_hold_are_refused_with_the_split() -> None:
    """The 12-month call log and the 6-year bill meet in the caller's number."""
    error = refused(in_class("billing", lambda table: table + '\nneeds = ["call.caller"]'))
    assert "call.caller must go after 12 months as call_log and stay for 6 years as billing" in error.message
    assert "invoice_line" in error.hint
    assert "no third party's number" in error.hint
    assert "take caller out of class.billing.needs" in error.hint


def test_the_conflict_is_seen_from_either_side_and_among_guests() -> None:
    text = in_class("billing", lambda table: table + '\nneeds = ["node.name"]').replace("[class.voicemail]\n", '[class.voicemail]\nneeds = ["node.name"]\n', 1)
    assert "node.name must go after 30 days as voicemail and stay for 6 years as billing" in refused(text).message


def test_two_purposes_that_agree_load() -> None:
    policy = parse(in_class("complaint", lambda table: table + '\nneeds = ["call.caller"]').encode(), "officenumber.toml")
    assert policy.rules[DataClass.COMPLAINT].needs == ("call.caller",)


def test_a_column_that_is_not_there_is_refused() -> None:
    assert "there is no column call.colour" in refused(in_class("billing", lambda table: table + '\nneeds = ["call.colour"]')).message


def test_a_rule_may_only_name_promises_of_its_provider() -> None:
    assert "class.account.claims: no published text holds VF-1" in refused(changed('claims = ["ON-6a", "ON-6b"]', 'claims = ["VF-1"]')).message


@pytest.mark.parametrize("name", ["Mine.toml", "-x.toml", ".toml", "a b.toml", "x" * 41 + ".toml", "../x.toml"])
def test_a_key_is_a_plain_name(name: str) -> None:
    with pytest.raises(Misconfigured, match="not a policy's key"):
        parse(b"", name)


def test_no_shipped_text_is_vague() -> None:
    for policy in shipped().values():
        for rule in policy.rules.values():
            assert weasel(rule.legal + rule.minimum_legal) is None


def test_promises_that_speak_of_windows_are_kept_by_a_rule() -> None:
    """Every `retain` promise of a provider is named by at least one class's rule, or is about all classes."""
    about_all = {"NN-8", "VO-11a", "NU-4", "VF-4"}
    for key in {provider.key for provider in providers()}:
        kept = {claim for rule in shipped_policy(key).rules.values() for claim in rule.claims}
        assert {claim.id for claim in claims_of(key) if claim.kind == "retain"} - kept - about_all == set()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_files_are_refused_or_load_and_never_crash(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(TEXT) - 1))
    insert = data.draw(st.sampled_from(["", "\x00", '"', "]", "=", "\n[", "é", "P99999M", "[[", "{", "1", "\ud800", "true"]))
    text = TEXT[:at] + insert + TEXT[at + data.draw(st.integers(0, 40)) :]
    try:
        found = parse(text.encode("utf-8", "surrogatepass"), "officenumber.toml")
    except RingfenceError:
        return
    assert isinstance(found, Policy)
    assert set(found.rules) == set(DataClass)


@pytest.mark.parametrize("key", shipped_keys())
def test_an_auditor_s_own_arithmetic_finds_the_same_cutoffs(key: str) -> None:
    policy = shipped_policy(key)
    document = json.loads(json.dumps(policy.document()))
    assert (document["policy"], document["version"], document["notice"]) == (key, policy.version, str(policy.notice))
    for day in range(0, 1500, 50):
        now = NOW + timedelta(days=day)
        found = {name: verify_calendar.cutoff(now, rule["period"], rule["year_end"]) for name, rule in document["classes"].items()}
        assert found == {data_class.value: c.at for data_class in DataClass if (c := policy.cutoff(data_class, now)) is not None}


def test_a_reason_is_not_empty() -> None:
    error = refused(in_class("sound", lambda table: re.sub(r"^legal = .*$", 'legal = " "', table, flags=re.MULTILINE)))
    assert "class.sound.legal: is empty" in error.message


def test_cutoffs_never_move_back() -> None:
    policy = shipped_policy("voipfone")
    for data_class in DataClass:
        found = [c.at for day in range(800) if (c := policy.cutoff(data_class, NOW + timedelta(days=day))) is not None]
        assert found == sorted(found)


def test_the_design_names_every_key_class_and_event() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs/design/policies.md").read_text(encoding="utf-8")
    tables = "\n".join(files("retention.policies").joinpath(f"{key}.toml").read_text(encoding="utf-8") for key in shipped_keys())
    keys = set(re.findall(r"^([a-z_]+) = ", tables, flags=re.MULTILINE)) | {"needs", "checks", "text"}
    assert {name for name in keys | set(DataClass) | set(StartEvent) | set(Action) if f"`{name}`" not in text} == set()


def test_the_design_shows_the_windows_that_ship() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs/design/policies.md").read_text(encoding="utf-8")
    rows = {match[1]: match[2] for match in re.finditer(r"^\| `(\w+)` \|.*\| ([^|]+) \|$", text, flags=re.MULTILINE)}
    for data_class, rule in shipped_policy(RECOMMENDED).rules.items():
        wanted = f"{rule.window} from {rule.start}" if rule.window else "kept"
        assert rows[data_class.value].startswith(wanted), data_class


SAID = {
    "numbergroup-network": (1, "fc51dcf1e131c277"),
    "numbergroup-utilities": (1, "47e83abf745ae0be"),
    "officenumber": (1, "aaa96f3cf3e472f3"),
    "recommended": (1, "6e5dce90d5c7f035"),
    "voipfone": (1, "6759bc356495fdc1"),
    "voipoffice": (1, "75b61d8f05875a48"),
}


def test_a_version_goes_on_saying_what_it_said() -> None:
    """Receipts in the field name a version by this digest. Whoever changes what a policy says gives it the next version, and writes that here."""
    assert {key: (policy.version, digest(policy)[:16]) for key, policy in shipped().items()} == SAID
