"""What the demonstration demands of the report that it leaves."""

from __future__ import annotations

from pathlib import Path

import pytest

from ari_app.demo_emergency import in_report

PAGE = "<h2>Tests of calls to 999</h2> With what 999 needs … 4770af05"


@pytest.mark.parametrize(
    ("lacks", "told"), [("With what 999 needs", "coverage"), ("Tests of calls", "the tests of 999"), ("4770af05", "the test that was held")]
)
def test_a_report_that_lacks_something_of_999_is_found(tmp_path: Path, lacks: str, told: str) -> None:
    report = tmp_path / "report.html"
    report.write_text(PAGE, encoding="utf-8")
    assert in_report(report, "4770af05") == []
    report.write_text(PAGE.replace(lacks, ""), encoding="utf-8")
    (problem,) = in_report(report, "4770af05")
    assert told in problem
