"""The operator's documents name what there is: every setting with its default, every metric, every exit code, and links that lead somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest
from prometheus_client import CollectorRegistry

import cli
from ari_app.cdr.metrics import BookerMetrics
from ari_app.cdr.stats import BookerStats
from ari_app.metrics import AgiMetrics, AmiMetrics, DeciderMetrics
from retention import standing
from retention.worker.metrics import WorkerMetrics
from ringfence import errors
from ringfence.clock import FixedClock
from ringfence.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
OPERATING = (ROOT / "docs/operating.md").read_text(encoding="utf-8")
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")] + sorted((ROOT / "docs").rglob("*.md"))

NOW = datetime(2026, 11, 20, 3, 30, tzinfo=UTC)


def section(title: str) -> str:
    return re.split(r"^##+ ", OPERATING.partition(f"# {title}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def leaves(struct: msgspec.Struct, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for field in struct.__struct_fields__:
        value = getattr(struct, field)
        if isinstance(value, msgspec.Struct):
            yield from leaves(value, f"{field}.")
        else:
            yield prefix + field, value


def shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "empty" if value == "" else str(value)


def test_every_setting_is_in_the_reference_with_its_default_and_its_meaning() -> None:
    rows = re.findall(r"^\| `([a-z_.]+)` \| (\S+) \| (.+) \|$", section("Settings"), re.MULTILINE)
    assert {key: default for key, default, _ in rows} == {key: shown(value) for key, value in leaves(Settings())}
    assert [key for key, _, _ in rows] == [key for key, _ in leaves(Settings())]


class Standing:
    version = 7
    dids = ()
    age = 0.5
    connected = True
    reconnects = 0


def registries() -> list[CollectorRegistry]:
    decider, agi, ami = DeciderMetrics(), AgiMetrics(), AmiMetrics()
    decider.watch(snapshot=Standing(), follower=Standing(), socket=Standing())
    agi.watch(snapshot=Standing(), follower=Standing())
    ami.watch(connected=lambda: True, astdb_version=lambda: 7)
    worker = WorkerMetrics(FixedClock(NOW))
    run = standing.RunStanding("1", NOW, NOW, NOW, None, 0, 0)
    worker.standing = standing.Standing(at=NOW, classes=(), last_run=run, last_finished=run, running=None, workers=(), incidents=())
    return [decider.registry, agi.registry, ami.registry, BookerMetrics(BookerStats()).registry, worker.registry]


def test_every_metric_is_in_the_list_and_no_other() -> None:
    families = [family for registry in registries() for family in registry.collect() if not family.name.startswith("process_")]
    real = {family.name + ("_total" if family.type == "counter" else "") for family in families}
    assert set(re.findall(r"^\| `(ringfence_[a-z_]+)`", section("Metrics"), re.MULTILINE)) == real
    assert set(re.findall(r"ringfence_[a-z]+_[a-z_]+[a-z]", section("Watch it"))) <= real


def test_every_exit_code_is_explained() -> None:
    codes = {error.exit_code for error in vars(errors).values() if isinstance(error, type) and issubclass(error, errors.RingfenceError)}
    assert codes <= {int(code) for code in re.findall(r"^\| (\d+) \|", section("Exit codes"), re.MULTILINE)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_commands_that_the_documents_show_exist() -> None:
    context = click.Context(cli.root)
    found = re.findall(r"^(?:sudo -u ringfence )?ringfence ([a-z]+) ([a-z-]+)", "\n".join(page.read_text(encoding="utf-8") for page in PAGES), re.MULTILINE)
    assert found
    for group, command in found:
        parent = cli.root.get_command(context, group)
        assert isinstance(parent, click.Group), group
        assert parent.get_command(context, command) is not None, f"{group} {command}"
