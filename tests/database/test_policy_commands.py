"""Changing a policy as an operator does it, on both engines: previewed, proposed, approved by another, announced, in force on its day, and as previewed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from sqlalchemy import Engine, select, text
from sqlalchemy.orm import Session, sessionmaker

from retention.calendar import local_date, midnight
from retention.policies.load import shipped_text
from ringfence.clock import FixedClock, from_epoch
from ringfence.models import ReadBarrier
from ringfence.queries import accounts, audit, policies
from ringfence.queries.ledger import micros
from ringfence.settings import Settings
from tests.database.installed import Commands, Here
from tests.database.purging import CUTOFF, NOW, book, booking, purge, scalar, spread, verified

DAY = timedelta(days=1)
EFFECTIVE = date(2027, 1, 1)
Write = Callable[..., Path]


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW)


@pytest.fixture
def ringfence(store_settings: Settings, clock: FixedClock, sessions: sessionmaker[Session], capsys: pytest.CaptureFixture[str]) -> Iterator[Commands]:
    """A command line on a store with two accounts, on 20 November 2026."""
    here = Here(store_settings, clock)
    with sessions.begin() as session:
        for ref in ("ACME", "BOLT"):
            accounts.add_account(session, clock, ref, f"{ref} Ltd", None)
    yield Commands(here, capsys)
    here.engine.dispose()


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes another version of the recommended policy."""

    def written(*changes: tuple[str, str], version: int = 2, effective: date = EFFECTIVE) -> Path:
        text = shipped_text("recommended").decode()
        for old, new in (("version = 1", f"version = {version}"), ("effective = 2026-11-01", f"effective = {effective.isoformat()}"), *changes):
            assert old in text
            text = text.replace(old, new, 1)
        path = tmp_path / "recommended.toml"
        path.write_text(text)
        return path

    return written


SHORTER = ('[class.call_log]\nwindow = "P12M"', '[class.call_log]\nwindow = "P11M"')
LONGER = ('[class.call_log]\nwindow = "P12M"', '[class.call_log]\nwindow = "P13M"')


def adopt(ringfence: Commands, path: Path) -> None:
    """Take a version through all its steps."""
    digest = ringfence.ok("policy", "propose", path, "--operator", "kim", "--json").data["sha256"]
    version = ("--version", path.read_text().split("version = ")[1].split()[0])
    ringfence.ok("policy", "approve", path.stem, *version, "--sha256", digest, "--operator", "sam")
    ringfence.ok("policy", "announce", path.stem, *version)


def test_a_shorter_window_deletes_on_its_day_exactly_what_the_preview_said(
    ringfence: Commands, write: Write, clock: FixedClock, engine: Engine, sessions: sessionmaker[Session], store_settings: Settings, tmp_path: Path
) -> None:
    book(engine, spread(CUTOFF - 20 * DAY, 120, 3))
    path = write(SHORTER)
    preview = ringfence.ok("policy", "preview", path, "--json").data
    assert [(each["data_class"], each["old"], each["new"], each["effect"]) for each in preview["changes"]] == [("call_log", "P12M", "P11M", "shorter")]
    cutoffs = {"now": (CUTOFF, midnight(date(2025, 12, 20))), "effective": (midnight(date(2026, 1, 1)), midnight(date(2026, 2, 1)))}
    moments = [each.call.started_at for each in spread(CUTOFF - 20 * DAY, 120, 3)]
    for when, (old, new) in cutoffs.items():
        expected = Counter(local_date(from_epoch(each / 1e6)).isoformat() for each in moments if micros(old) <= each < micros(new))
        assert {each["day"]: each["goes"] for each in preview[when]} == expected
        assert sum(each["stays"] for each in preview[when]) == 0
    assert "shorter" in ringfence.ok("policy", "preview", path).out

    adopt(ringfence, path)
    assert ringfence.ok("policy", "preview", "recommended", "--json").data["effective"] == preview["effective"]
    clock.set(midnight(EFFECTIVE) - timedelta(seconds=1))
    purge(engine, store_settings, clock).run()
    left = scalar(engine, "SELECT count(*) FROM call")
    with sessions() as session:  # from the first moment of that day nobody is shown what is past the new window, whether the worker has run or not
        barriers = {row.valid_from: row.cutoff_at for row in session.scalars(select(ReadBarrier))}
    assert barriers[midnight(EFFECTIVE)] == midnight(date(2026, 2, 1))
    assert barriers[midnight(EFFECTIVE - DAY)] == midnight(date(2025, 12, 31))
    clock.set(midnight(EFFECTIVE) + timedelta(hours=3))
    report = purge(engine, store_settings, clock).run()
    assert report is not None
    day_itself = 3  # those of the day that ended in between go by the old window too
    assert left - scalar(engine, "SELECT count(*) FROM call") == sum(each["goes"] for each in preview["effective"]) + day_itself
    assert verified(engine, clock, tmp_path / "bundle") == 0
    (listed,) = [each for each in ringfence.ok("policy", "list", "--json").data if each["policy"] == "recommended" and each["version"] == 2]
    assert (listed["state"], listed["governs"], listed["proposed_by"], listed["approved_by"]) == ("in_force", ["every other account"], "kim", "sam")


def test_a_longer_window_keeps_what_was_about_to_go(ringfence: Commands, write: Write, engine: Engine) -> None:
    book(engine, spread(CUTOFF - 10 * DAY, 20, 2))
    preview = ringfence.ok("policy", "preview", write(LONGER), "--json").data
    assert (sum(each["stays"] for each in preview["now"]), sum(each["goes"] for each in preview["now"])) == (20, 0)
    assert all(each["goes"] == 0 for each in preview["effective"])


def test_what_a_hold_keeps_is_in_no_preview(ringfence: Commands, write: Write, engine: Engine) -> None:
    acme = scalar(engine, "SELECT id FROM account WHERE ref = 'ACME'")
    book(engine, [booking(1, CUTOFF + DAY, account=acme), booking(2, CUTOFF + DAY, account=acme + 1)])
    ringfence.ok("hold", "add", "--account", "ACME", "--reason", "claim", "--review-by", "2027-06-01")
    ringfence.ok("hold", "add", "--account", "BOLT", "--reason", "order", "--review-by", "2027-06-01", "--secret", "--operator", "kim")
    (shift,) = ringfence.ok("policy", "preview", write(SHORTER), "--json").data["now"]
    assert (shift["day"], shift["goes"]) == (local_date(CUTOFF + DAY).isoformat(), 1)  # of the secret one it says nothing


def test_nobody_is_passed_over(ringfence: Commands, write: Write, clock: FixedClock, sessions: sessionmaker[Session]) -> None:
    early = write(SHORTER, effective=date(2026, 12, 19))
    assert ringfence("policy", "propose", early).code == 3  # before the notice is over
    hasty = write(SHORTER, ('notice = "P30D"', 'notice = "P1D"'), effective=date(2026, 12, 19))
    refused = ringfence("policy", "propose", hasty)  # the notice that customers were promised counts
    assert (refused.code, "2026-12-21" in refused.err) == (3, True)
    assert ringfence("policy", "propose", write(SHORTER, version=3)).code == 5
    path = write(SHORTER)
    step = ("recommended", "--version", "2")
    assert ringfence("policy", "approve", *step, "--sha256", "0" * 64).code == 4
    digest = ringfence.ok("policy", "propose", path, "--operator", "kim", "--json").data["sha256"]
    assert ringfence("policy", "announce", *step).code == 3  # nobody approved it
    assert ringfence("policy", "approve", *step, "--sha256", digest, "--operator", "KIM").code == 3
    assert ringfence("policy", "approve", *step, "--sha256", "0" * 64, "--operator", "sam").code == 3
    ringfence.ok("policy", "approve", *step, "--sha256", digest, "--operator", "sam")
    other = write(SHORTER, effective=date(2027, 1, 2))
    ringfence.ok("policy", "propose", other, "--operator", "kim")
    assert ringfence("policy", "announce", *step).code == 3  # another text: the approval is void
    digest = ringfence.ok("policy", "show", *step, "--json").data["sha256"]
    clock.set(NOW + 15 * DAY)
    expired = ringfence("policy", "approve", *step, "--sha256", digest, "--operator", "sam")
    assert (expired.code, "expired" in expired.err) == (3, True)
    assert "expired" in ringfence.ok("policy", "list").out
    with sessions() as session:
        kinds = [entry.kind for entry in audit.stream_entries(session) if entry.kind.startswith("policy")]
    assert kinds == ["policy.proposed", "policy.approved", "policy.proposed"]


def test_a_row_that_grants_itself_no_notice_is_not_in_force(
    ringfence: Commands, write: Write, clock: FixedClock, engine: Engine, store_settings: Settings
) -> None:
    """Somebody writes an approved, announced version with a notice of a day into the store."""
    book(engine, [booking(1, CUTOFF + 15 * DAY)])
    adopt(ringfence, write(SHORTER))
    hasty = write(SHORTER, ('notice = "P30D"', 'notice = "P1D"'), effective=date(2026, 11, 20)).read_text()
    values = {"text": hasty, "sha256": sha256(hasty.encode()).hexdigest(), "told": "2026-11-10 00:00:00"}
    with engine.begin() as connection:
        connection.execute(text("UPDATE policy_version SET text = :text, sha256 = :sha256, effective = '2026-11-20', announced_at = :told"), values)
    clock.set(NOW + 10 * DAY)
    purge(engine, store_settings, clock).run()
    assert scalar(engine, "SELECT count(*) FROM call") == 1
    clock.set(NOW + 21 * DAY)  # thirty days after what the row says
    purge(engine, store_settings, clock).run()
    assert scalar(engine, "SELECT count(*) FROM call") == 0


def test_an_account_gets_a_policy_of_its_own(ringfence: Commands, write: Write, clock: FixedClock, engine: Engine, tmp_path: Path) -> None:
    acme = scalar(engine, "SELECT id FROM account WHERE ref = 'ACME'")
    book(engine, [booking(number, CUTOFF + number * DAY, account=acme + number % 2) for number in range(10)])
    path = write(SHORTER, version=1)
    mine = path.rename(tmp_path / "mine.toml")
    assert ringfence("account", "policy", "ACME", "--policy", "mine", "--commit").code == 4  # not in force yet
    adopt(ringfence, mine)
    clock.set(midnight(EFFECTIVE) + timedelta(hours=1))
    answer = ringfence.ok("account", "policy", "ACME", "--policy", "mine", "--json").data
    days = {each["day"]: each["goes"] for each in answer["now"]}
    assert (answer["committed"], days) == (False, {})  # under both windows all ten are due by then
    assert ringfence.ok("account", "policy", "ACME", "--json").data == {"account": "ACME", "policy": "recommended", "own": False}
    book(engine, [booking(50, midnight(date(2026, 1, 10)), account=acme), booking(51, midnight(date(2026, 1, 10)), account=acme + 1)])
    dry = ringfence.ok("account", "policy", "ACME", "--policy", "mine")
    assert ("1 more would go" in dry.out, "--commit" in dry.err) == (True, True)
    (shift,) = ringfence.ok("account", "policy", "ACME", "--policy", "mine", "--commit", "--json").data["now"]
    assert (shift["day"], shift["goes"], shift["stays"]) == ("2026-01-10", 1, 0)
    assert ringfence.ok("account", "policy", "ACME", "--json").data == {"account": "ACME", "policy": "mine", "own": True}
    assert ringfence("account", "policy", "ACME", "--policy", "mine", "--commit").code == 5
    (back,) = ringfence.ok("account", "policy", "ACME", "--default", "--commit", "--json").data["now"]
    assert (back["goes"], back["stays"]) == (0, 1)
    assert ringfence("account", "policy", "ACME", "--policy", "voipfone", "--default").code == 2
    assert ringfence("account", "policy", "NOBODY", "--policy", "voipfone").code == 4


def test_a_policy_that_nobody_knows_stops_deleting_and_can_be_put_right(ringfence: Commands, engine: Engine, sessions: sessionmaker[Session]) -> None:
    acme = scalar(engine, "SELECT id FROM account WHERE ref = 'ACME'")
    with sessions.begin() as session:
        policies.assign(session, acme, "gone", NOW)
    assert ringfence("retention", "plan").code == 78
    listed = ringfence.ok("policy", "list")
    assert ("gone" in listed.err, "recommended" in listed.out) == (True, True)
    ringfence.ok("account", "policy", "ACME", "--default", "--commit")
    ringfence.ok("retention", "plan")


def test_what_a_policy_says_is_shown_and_its_text_is_the_one_that_was_approved(ringfence: Commands, write: Write, tmp_path: Path) -> None:
    said = ringfence.ok("policy", "show", "recommended", "--text").out
    assert said.encode() == shipped_text("recommended")
    shown = ringfence.ok("policy", "show", "voipfone", "--json").data
    assert next(each for each in shown["classes"] if each["data_class"] == "call_log")["minimum"] == "P12M"
    assert "P12M" in ringfence.ok("policy", "show", "recommended").out
    path = write(SHORTER)
    assert ringfence("policy", "show", "recommended", "--version", "2").code == 4
    ringfence.ok("policy", "propose", path)
    assert ringfence.ok("policy", "show", "recommended", "--version", "2", "--text").out == path.read_text()
    assert ringfence.ok("policy", "show", "recommended", "--json").data["version"] == 1
    ringfence.ok("policy", "lint", path)
    vague = tmp_path / "vague.toml"
    vague.write_text(said.replace('window = "P12M"', 'window = "regularly"', 1))
    refused = ringfence("policy", "lint", vague)
    assert (refused.code, "class.call_log" in refused.err) == (78, True)
    assert ringfence("policy", "preview", "mine").code == 4
    assert ringfence("policy", "preview", tmp_path / "none.toml").code == 78
