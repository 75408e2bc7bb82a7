"""What 999 goes through on this node, written down as it is put in place, so that the store can tell whether it was tested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy.orm import Session

from ari_app.configuration.files import read_files
from dialplan.emergency_digest import way_digest
from ringfence.clock import Clock
from ringfence.queries import emergency_tests
from ringfence.queries.emergency_tests import DueTest
from ringfence.settings import Settings

_READ = {"extensions.conf": "", "pjsip.conf": ""}


def remember(session: Session, clock: Clock, node: str, texts: Mapping[str, str]) -> None:
    """Write down the way to 999 of a rendered configuration, before it is put in place: who dies in between leaves a test due, never one forgotten."""
    found = way_digest(texts)
    emergency_tests.put_way(session, clock, node, (found.trunks, found.dialplan) if found else None)


def remember_in_place(session: Session, clock: Clock, settings: Settings) -> None:
    """Write down the way to 999 of the files that are in place.

    Raises:
        Misconfigured: a file cannot be read.
    """
    found = {name: text or "" for name, text in read_files(settings.conf_dir, _READ).items()}
    remember(session, clock, settings.node, found)


def told(found: Sequence[DueTest]) -> str:
    """Return what an operator is told of tests that are due; empty = nothing is."""
    return f"999 must be tested: {'; '.join(each.reason for each in found)}; run 'ringfence emergency test'" if found else ""
