"""The verifier: an honest bundle passes, a damaged one does not, and a dishonest operator who signs everything anew is caught by what cannot add up."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retention import calendar as product
from retention.verify import calendar, conservation, container
from retention.verify.bundle import verify
from retention.verify.format import PARTS, Balance, Cutoff, Receipt, RunClosed, RunStarted
from retention.verify.main import main
from retention.verify.notes import parse_key, read_checkpoint
from retention.verify.runs import Runs
from retention.verify.tree import Entry
from ringfence.audit.kinds import KINDS
from ringfence.audit.log import Draft
from tests.unit.bundles import DAYS, EVIDENCE, POLICY, SIGNER, STRANGER, Change, bundle, changed, story

KEY = parse_key(SIGNER.verifier_key)
STARTED, FIRST, LAST, CLOSED, ERASED, LATE = 6, 7, 8, 9, 10, 14  # places in the story


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return bundle(tmp_path_factory.mktemp("honest"))


def found(files: dict[str, bytes]) -> list[str]:
    return [str(finding) for finding in verify(files, [KEY]).findings]


def test_an_honest_bundle_holds(honest: dict[str, bytes]) -> None:
    verdict = verify(honest, [KEY])
    assert verdict.findings == []
    assert {name: verdict.facts[name] for name in ("size", "checkpoints", "runs", "receipts", "rows", "days", "policies", "legal_holds_shown")} == {
        "size": 15, "checkpoints": 3, "runs": 2, "receipts": 4, "rows": 15, "days": 4, "policies": 1, "legal_holds_shown": 1,
    }  # fmt: skip


@pytest.mark.parametrize("first", [1, 6, 10, 15])
def test_so_does_its_end(tmp_path: Path, first: int) -> None:
    verdict = verify(bundle(tmp_path, first=first, checkpoints=(1, 6, 10)), [KEY])
    assert verdict.findings == []
    assert any(f"begins with entry {first}" in remark for remark in verdict.remarks)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_byte_can_change(honest: dict[str, bytes], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(name for name in honest if honest[name])))
    place = data.draw(st.integers(0, len(honest[name]) - 1))
    flip = data.draw(st.integers(1, 255))
    old = honest[name]
    findings = verify({**honest, name: old[:place] + bytes([old[place] ^ flip]) + old[place + 1 :]}, [KEY]).findings
    assert any(finding.file == name for finding in findings), findings
    if name == "entries.jsonl":
        assert old[:place].count(b"\n") + 1 in {finding.line for finding in findings}


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_line_can_be_dropped_doubled_or_moved_and_no_tail_cut(honest: dict[str, bytes], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(PARTS))
    lines = honest[name].splitlines(keepends=True)
    place = data.draw(st.integers(0, len(lines) - 1))
    kind = data.draw(st.sampled_from(["drop", "double", "move", "cut"]))
    if kind == "drop":
        lines.pop(place)
    elif kind == "double":
        lines.insert(place, lines[place])
    elif kind == "move":
        lines.insert(data.draw(st.integers(0, len(lines) - 1)), lines.pop(place))
    text = b"".join(lines)
    text = text[: data.draw(st.integers(0, len(text) - 1))] if kind == "cut" else text
    findings = verify({**honest, name: text}, [KEY]).findings
    assert text == honest[name] or any(finding.file == name for finding in findings)


@pytest.mark.parametrize("name", sorted(container.NAMES))
def test_no_file_can_be_missing(honest: dict[str, bytes], name: str) -> None:
    assert f"{name}: it is missing" in found({key: value for key, value in honest.items() if key != name})


def test_a_strangers_bundle_is_refused(honest: dict[str, bytes]) -> None:
    findings = verify(honest, [parse_key(STRANGER.verifier_key)]).findings
    assert {"manifest.note", "checkpoints.jsonl"} <= {finding.file for finding in findings}


def drop(place: int) -> Change:
    return lambda drafts: drafts.__delitem__(place)


def change(place: int, **fields: object) -> Change:
    return lambda drafts: changed(drafts, place, **fields)


def double(place: int) -> Change:
    return lambda drafts: drafts.insert(place, drafts[place])


def early(drafts: list[Draft]) -> None:
    """The run's cutoff is a day too late, and so are its receipts'."""
    cutoff = drafts[STARTED].fields["cutoffs"][0]
    later = (calendar.parse_moment(cutoff["cutoff"]) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    changed(drafts, STARTED, cutoffs=[{**cutoff, "cutoff": later}])
    changed(drafts, FIRST, cutoff=later)
    changed(drafts, LAST, cutoff=later, hi_at=later)


LIES: dict[str, tuple[Change, str]] = {
    "a receipt left out": (drop(FIRST), "leaves a gap after"),
    "the last receipt left out": (drop(LAST), "windows end at"),
    "a receipt twice": (double(FIRST), "overlaps"),
    "a cutoff a day too far": (early, "by the policy (P12M) it is 2025-03-28T00:00:00.000000Z"),
    "another cutoff in a receipt": (change(FIRST, cutoff="2025-03-27T00:00:00.000000Z"), "is not that of its run"),
    "a row before its time": (change(LAST, max_t="2025-03-28T12:00:00.000000Z", days=[["2025-03-26", 6], ["2025-03-28", 1]]), "went before its time"),
    "rows that are not in the window": (change(FIRST, hi_at="2025-03-25T11:00:00.000000Z"), "does not hold its rows"),
    "days that do not add up": (change(FIRST, rows=6), "do not add up"),
    "days of other rows": (change(FIRST, days=[["2025-03-24", 5]]), "not those of its oldest and newest row"),
    "a stale worker": (change(LAST, token=0), "lost its lease"),
    "a token of nobody's": (change(FIRST, token=9), "not that of its run"),
    "legal holds overlooked": (change(FIRST, hold_version=0), "looked at version 0 of the legal holds; 1 was in force"),
    "legal holds that went back": (lambda drafts: drafts.insert(LATE, Draft("legal_hold.version", {"hold_version": 1})), "went from 1 to 1"),
    "another policy's text": (change(FIRST, policy_digest="d" * 64), "is not that of its run"),
    "a policy nobody adopted": (drop(0), "nobody adopted"),
    "a policy not yet in force": (change(0, effective_at="2026-03-28T02:00:00.000001Z"), "not yet in force"),
    "a run that never began": (drop(STARTED), "never began"),
    "a run that counts wrongly": (change(CLOSED, rows=11), "it counts 2 receipts of 11 rows; 2 of 12 are here"),
    "receipts after the end": (lambda drafts: drafts.insert(CLOSED + 1, drafts[LAST]), "its run had ended"),
    "cutoffs for tomorrow": (change(STARTED, as_of="2026-03-29T12:00:07.000000Z"), "a moment after it began"),
    "an erasure with a window": (change(ERASED, lo_at="2025-03-25T00:00:00.000000Z"), "only receipts of windows"),
    "an erasure left out": (drop(ERASED), "erasure is 1, the log has 0"),
    "a seal left out": (drop(1), "sealed is 5, the log has 0"),
    "a seal twice": (double(1), "was sealed before"),
    "a seal changed": (change(2, rows=8), "sealed is 7, the log has 8"),
    "late rows hidden": (drop(LATE), "late is 1, the log has 0"),
    "a legal hold that was not placed": (drop(5), "the log says otherwise of legal_hold.placed"),
}


@pytest.mark.parametrize("name", LIES)
def test_an_operator_who_signs_a_lie_is_caught(tmp_path: Path, name: str) -> None:
    lie, message = LIES[name]
    findings = found(bundle(tmp_path, change=lie, checkpoints=()))
    assert any(message in finding for finding in findings), findings


BALANCES: dict[str, tuple[Balance, str]] = {
    "a row deleted by hand": (Balance("call_log", DAYS[3], 4, 1, 3, 0, 1, 0, 0), f"call_log of {DAYS[3]}: 1 row(s) are gone without a receipt"),
    "a row inserted by hand": (Balance("call_log", DAYS[3], 4, 1, 5, 0, 1, 0, 0), f"call_log of {DAYS[3]}: 1 row(s) more than were taken in"),
    "a receipt made up": (Balance("call_log", DAYS[3], 4, 1, 3, 0, 1, 1, 0), "correction is 1, the log has 0"),
    "less than nothing": (Balance("call_log", DAYS[3], 4, 1, -1, 5, 1, 0, 0), "a count is below nothing"),
    "another day": (Balance("call_log", DAYS[0], 4, 1, 4, 0, 1, 0, 0), "it is here twice"),
}


@pytest.mark.parametrize("name", BALANCES)
def test_what_does_not_balance_is_named_by_class_and_day(tmp_path: Path, name: str) -> None:
    balance, message = BALANCES[name]
    evidence = type(EVIDENCE)(EVIDENCE.policies, EVIDENCE.holds, (*EVIDENCE.balances[:3], balance))
    findings = found(bundle(tmp_path, evidence=evidence))
    assert any(message in finding for finding in findings), findings


def test_a_sealed_day_that_is_not_accounted_for_is_named(tmp_path: Path) -> None:
    evidence = type(EVIDENCE)(EVIDENCE.policies, EVIDENCE.holds, EVIDENCE.balances[1:])
    assert f"conservation.jsonl: call_log of {DAYS[0]}: it was sealed, but is not accounted for" in found(bundle(tmp_path, evidence=evidence))


def test_another_policy_than_the_one_adopted_is_no_excuse(tmp_path: Path) -> None:
    laxer = {**POLICY, "classes": {"call_log": {"period": "P11M", "year_end": None}}}
    findings = found(bundle(tmp_path, evidence=type(EVIDENCE)((laxer,), EVIDENCE.holds, EVIDENCE.balances)))
    assert any("is of a policy that is not in the bundle" in finding for finding in findings)


def test_the_tail_that_was_seen_cannot_be_cut(tmp_path: Path, honest: dict[str, bytes]) -> None:
    seen = verify(honest, [KEY]).head
    assert seen is not None
    shorter = bundle(tmp_path, change=lambda drafts: drafts.__delitem__(slice(12, None)), checkpoints=(6, 10), evidence=EVIDENCE)
    assert any("15 entries when it was seen earlier, now 12: its tail was cut" in str(each) for each in verify(shorter, [KEY], seen).findings)


@pytest.mark.parametrize("first", [0, 6, 10])
def test_a_fork_is_seen_against_any_earlier_checkpoint(tmp_path: Path, honest: dict[str, bytes], first: int) -> None:
    old = json.loads(honest["checkpoints.jsonl"].splitlines()[1])["note"]
    earlier, _ = read_checkpoint(old, [KEY])
    (tmp_path / "same").mkdir()
    assert verify(bundle(tmp_path / "same", first=first), [KEY], earlier).findings == []
    (tmp_path / "fork").mkdir()
    fork = bundle(tmp_path / "fork", first=first, change=change(5, hold="e" * 31 + "1"))
    assert any("the log was forked" in str(each) for each in verify(fork, [KEY], earlier).findings)


def test_the_entries_of_the_verifier_are_those_that_may_be_written() -> None:
    for kind in (RunStarted, Receipt, RunClosed):
        assert {field.name for field in fields(kind)} == KINDS[kind.KIND]
    assert {field.name for field in fields(Cutoff)} == {"data_class", "table", "policy", "policy_version", "policy_digest", "cutoff"}


def run(*arguments: object) -> int:
    return main([str(each) for each in arguments])


def write(files: dict[str, bytes], path: Path) -> Path:
    path.mkdir()
    for name, data in files.items():
        (path / name).write_bytes(data)
    return path


def test_the_program_takes_folders_and_tars_and_says_where(honest: dict[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(honest, tmp_path / "bundle")
    assert run(folder, "--key", SIGNER.verifier_key) == 0
    assert "everything in this bundle holds" in capsys.readouterr().out
    tar = tmp_path / "bundle.tar"
    tar.write_bytes(container.pack(honest))
    key = tmp_path / "key"
    key.write_text(SIGNER.verifier_key + "\n")
    assert run(tar, "--key", key, "--json") == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True
    (folder / "entries.jsonl").write_bytes(honest["entries.jsonl"].replace(b'"rows":7', b'"rows":6', 1))
    assert run(folder, "--key", key) == 1
    assert "FAILED  entries.jsonl:3 (entry 2): the entry is not the one its hash was made of" in capsys.readouterr().out


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_no_byte_of_a_tar_can_change_and_no_tail_be_cut(honest: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    packed = container.pack(honest)
    place = data.draw(st.integers(0, len(packed) - 1))
    cut = data.draw(st.booleans())
    changed_tar = packed[:place] if cut else packed[:place] + bytes([packed[place] ^ data.draw(st.integers(1, 255))]) + packed[place + 1 :]
    path = tmp_path_factory.getbasetemp() / "changed.tar"
    path.write_bytes(changed_tar)
    assert run(path, "--key", SIGNER.verifier_key, "--json") == 1


def test_wrong_use_is_told_apart_from_failure(honest: dict[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path / "nothing", "--key", SIGNER.verifier_key) == 2
    folder = write(honest, tmp_path / "bundle")
    assert run(folder, "--key", "nonsense") == 2
    assert run(folder, "--key", SIGNER.verifier_key, "--last", tmp_path / "nothing") == 2
    for arguments in ((folder,), ()):
        with pytest.raises(SystemExit) as stopped:
            run(*arguments)
        assert stopped.value.code == 2
    assert "error" in capsys.readouterr().err


def test_a_folder_with_something_else_in_it_is_no_bundle(honest: dict[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(honest, tmp_path / "bundle")
    (folder / "\x1b[2Jnote").write_text("")
    assert run(folder, "--key", SIGNER.verifier_key) == 1
    assert "\x1b" not in capsys.readouterr().out
    (folder / "\x1b[2Jnote").unlink()
    (folder / "holds.jsonl").unlink()
    (folder / "holds.jsonl").symlink_to("/etc/hostname")
    assert run(folder, "--key", SIGNER.verifier_key) == 1


scalars = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00.000000Z", 10**30])
)
json_values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=6)


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_nothing_signed_can_break_the_verifier(data: st.DataObject) -> None:
    """A hostile operator may sign entries with fields of any kind: that is a finding, never a traceback."""

    drafts = story()
    place = data.draw(st.integers(0, len(drafts) - 1))
    body = dict(drafts[place].fields)
    body[data.draw(st.sampled_from(sorted(body)))] = data.draw(json_values)
    entries = [Entry(seq, "2026-03-29T12:00:00.000000Z", draft.kind, body if seq == place else dict(draft.fields), seq + 1) for seq, draft in enumerate(drafts)]
    runs = Runs({("default", 1): (str(drafts[0].fields["policy_digest"]), {"call_log": {"period": "P12M", "year_end": None}})}, whole=True)
    runs.read(entries)

    conservation.check([], entries, runs.receipts, "", whole=True)


periods = st.sampled_from(["P12M", "P6Y", "P30D", "P1M", "P1Y6M", "P2W", "P3M10D", "P0D"])
year_ends = st.sampled_from([None, "03-31", "04-05", "02-29"])


@settings(max_examples=200, deadline=None)
@given(st.integers(-7_000, 44_000), st.sampled_from([0, 1, 82_799, 82_800, 86_399]) | st.integers(0, 86_399), periods, year_ends)
def test_the_two_calendars_agree(day: int, second: int, period: str, year_end: str | None) -> None:

    at = datetime(2000, 1, 1, tzinfo=UTC) + timedelta(days=day, seconds=second)
    ends = product.parse_year_end(year_end) if year_end else None
    assert calendar.cutoff(at, period, year_end) == product.cutoff(at, product.parse_period(period), ends)


def test_the_verifier_needs_nothing_of_the_product() -> None:

    for path in Path("retention/verify").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.startswith("retention.verify") or name.split(".")[0] in {"cryptography", *sys.stdlib_module_names}, f"{path}: {name}"


def test_it_runs_where_the_product_is_not(honest: dict[str, bytes], tmp_path: Path) -> None:

    (tmp_path / "retention").mkdir()
    shutil.copy("retention/__init__.py", tmp_path / "retention")
    shutil.copytree("retention/verify", tmp_path / "retention/verify", ignore=shutil.ignore_patterns("__pycache__"))
    folder = write(honest, tmp_path / "bundle")
    block = (
        "import sys; sys.modules.update(dict.fromkeys(('ringfence', 'sqlalchemy', 'click', 'msgspec'))); import retention.verify.main as m; sys.exit(m.main())"
    )
    command = [sys.executable, "-c", block, str(folder), "--key", SIGNER.verifier_key]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert str(tmp_path) not in done.stdout
