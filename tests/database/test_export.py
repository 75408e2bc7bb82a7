"""`audit export` on the live store, and what `ringfence-verify` says of it: an honest store is accepted, each tampering is refused and its place named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session, sessionmaker

import cli
from retention import holds
from retention.verify.main import main as verify
from ringfence.audit import log
from ringfence.clock import FixedClock
from ringfence.queries import audit
from ringfence.queries.conservation import begin_alone
from ringfence.queries.holds import Scope
from ringfence.settings import Settings
from tests.database.installed import Here
from tests.database.purging import CALLER, CUTOFF, DID, MOBILE, NOW, book, booking, purge, spread

FIRST = CUTOFF - timedelta(days=5)
Export = Callable[[str], tuple[Path, str]]


@pytest.fixture
def here(store_settings: Settings, engine: Engine, sessions: sessionmaker[Session]) -> Iterator[Here]:
    """A store with calls of ten days around the cutoff, an open and a secret hold, that was sealed and purged."""
    here = Here(store_settings, FixedClock(NOW))
    book(engine, [*spread(FIRST, 10, 6), booking(900, FIRST + timedelta(days=1), account=7)])
    for scope, secret in ((Scope(account_id=7), False), (Scope(number="+441174960999"), True)):
        with sessions.begin() as session:
            holds.place(session, here.clock, scope, reason="a claim", owner="kim", review_by=date(2027, 1, 1), secret=secret)
    report = purge(engine, here.settings, FixedClock(NOW)).run()
    assert report is not None
    assert (report.rows, report.stopped) == (60, "")
    assert cli.run(["audit", "key", "new"], installation=here) == 0
    yield here
    here.engine.dispose()


@pytest.fixture
def export(here: Here, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Export:
    """Return a function that exports into a folder, and gives that and the verifier key."""

    def exported(name: str) -> tuple[Path, str]:
        capsys.readouterr()
        assert cli.run(["audit", "export", str(tmp_path / name), "--json"], installation=here) == 0
        return tmp_path / name, json.loads(capsys.readouterr().out)["verifier_key"]

    return exported


@pytest.fixture
def findings(capsys: pytest.CaptureFixture[str]) -> Callable[..., list[dict[str, Any]]]:
    """Return a function that gives what the verifier finds."""

    def found(bundle: Path, key: str) -> list[dict[str, Any]]:
        capsys.readouterr()
        code = verify([str(bundle), "--key", key, "--json"])
        result = json.loads(capsys.readouterr().out)
        assert (code, result["ok"]) == ((1, False) if result["findings"] else (0, True))
        return list(result["findings"])

    return found


Findings = Callable[[Path, str], list[dict[str, Any]]]


def test_an_honest_store_is_accepted(export: Export, findings: Findings, engine: Engine, sessions: sessionmaker[Session]) -> None:
    bundle, key = export("first")
    assert findings(bundle, key) == []
    policies = [json.loads(line)["policy"] for line in (bundle / "policies.jsonl").read_text().splitlines()]
    shown = [json.loads(line) for line in (bundle / "holds.jsonl").read_text().splitlines()]
    days = [json.loads(line) for line in (bundle / "conservation.jsonl").read_text().splitlines()]
    assert policies == ["recommended"]
    assert [hold["placed_version"] for hold in shown] == [1]  # the secret one is in no list and no count
    assert {day["data_class"] for day in days} == {"call_log", "billing"}
    assert sum(day["window"] for day in days) == 60
    everything = b"".join(path.read_bytes() for path in bundle.iterdir())
    assert not [secret for secret in (DID, CALLER, MOBILE, "+441174960999", "kim") if secret.encode() in everything]
    # A late arrival, a policy that only an account has, and the next bundle.
    book(engine, [booking(901, NOW - timedelta(days=2))])
    with sessions.begin() as session:
        session.execute(text("INSERT INTO account_policy VALUES (7, 'voipfone', '2026-11-01 00:00:00')"))
    bundle, key = export("second")
    assert findings(bundle, key) == []
    assert "voipfone" in (bundle / "policies.jsonl").read_text()
    assert sum(json.loads(line)["late"] for line in (bundle / "conservation.jsonl").read_text().splitlines()) == 3
    with sessions() as session:
        newest = audit.newest_entries(session, 9, kind="audit.exported")
    assert len(newest) == 2


def test_a_row_deleted_by_hand_is_named_by_class_and_day(export: Export, findings: Findings, engine: Engine) -> None:
    with engine.begin() as connection:
        gone = connection.execute(text("DELETE FROM leg WHERE started_at = (SELECT max(started_at) FROM leg)")).rowcount
    assert gone == 1
    (found,) = findings(*export("bundle"))
    day = (FIRST + timedelta(days=9)).date().isoformat()
    assert (found["file"], found["message"]) == ("conservation.jsonl", f"call_log of {day}: 1 row(s) are gone without a receipt")


def test_a_flipped_byte_is_refused_and_the_place_named(export: Export, findings: Findings, tmp_path: Path) -> None:
    honest, key = export("bundle")
    for name in sorted(path.name for path in honest.iterdir()):
        bundle = Path(shutil.copytree(honest, tmp_path / f"flipped-{name}"))
        content = bytearray((bundle / name).read_bytes())
        middle = len(content) // 2
        content[middle] ^= 1
        (bundle / name).write_bytes(content)
        found = [each for each in findings(bundle, key) if each["file"] == name]
        assert found, name
        if name == "entries.jsonl":
            assert content[:middle].count(b"\n") + 1 in {each["line"] for each in found}


def test_a_dropped_receipt_and_a_cut_tail_are_refused(export: Export, findings: Findings) -> None:
    for name, cut in (("dropped", slice(None)), ("cut", slice(-1))):
        bundle, key = export(name)
        lines = (bundle / "entries.jsonl").read_text().splitlines(keepends=True)
        place = next(number for number, line in enumerate(lines) if '"purge.receipt"' in line)
        kept = lines[:place] + lines[place + 1 :] if name == "dropped" else lines[cut]
        (bundle / "entries.jsonl").write_text("".join(kept))
        found = [each for each in findings(bundle, key) if each["file"] == "entries.jsonl"]
        assert found
        if name == "dropped":
            assert any(each["line"] == place + 1 for each in found)


def test_a_bundle_is_of_one_moment_while_others_write(export: Export, findings: Findings, engine: Engine, sessions: sessionmaker[Session]) -> None:
    """Calls come late into sealed days, and entries into the log, all the while."""
    stop = Event()

    def write() -> None:
        number = 1000
        while not stop.is_set():
            number += 1
            book(engine, [booking(number, FIRST + timedelta(days=7, seconds=number))])
            with sessions.begin() as session:
                begin_alone(session)
                log.append(session, FixedClock(NOW), "purge.key_destroyed", run=log.new_id())
            stop.wait(0.005)

    writer = Thread(target=write)
    writer.start()
    try:
        bundles = [export(f"bundle-{number}") for number in range(4)]
    finally:
        stop.set()
        writer.join()
    assert [findings(*bundle) for bundle in bundles] == [[], [], [], []]
    lates = [sum(json.loads(line)["late"] for line in (bundle / "conservation.jsonl").read_text().splitlines()) for bundle, _ in bundles]
    assert lates == sorted(lates)
    assert lates[-1] > 0
