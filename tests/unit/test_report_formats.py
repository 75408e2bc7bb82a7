"""Each format of one report made by hand: it parses, holds every section, and nothing that is stored in it is taken for markup or a formula."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import UTC, date, datetime

import lxml.html
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pypdf import PdfReader

from retention.report import as_csv, as_html, as_json, as_pdf, plots
from retention.report.formats import Format, render
from retention.report.model import Checked, Column, Facts, Kind, Mark, Opening, Openings, Plot, Report, Section, Series, Table, tone
from retention.report.span import parse_span
from retention.report.words import duration, shown
from ringfence.queries.asked import Asked

NOW = datetime(2026, 11, 20, 3, 30, tzinfo=UTC)
HOSTILE = "<script>hacked=1</script><img src=//example.com/x onerror=hacked=1>]]>&amp;<b>\"'</para>"
FORMULA = "=cmd|' /C calc'!A0"


def made(hostile: str = HOSTILE, rows: int = 3) -> Report:
    """Return a report in which every text that could be stored is hostile."""
    asked = (Asked(f"SELECT '{hostile}' -- {hostile}", {"1": hostile}, NOW, 3, 12, hostile),)
    key = {"data_class": "call_log", "policy": "recommended"}
    schedule = Table(
        "schedule_recommended",
        hostile,
        (Column("data_class", "Class", Kind.WORD), Column("legal", "Source")),
        ({**key, "basis": "contract", "window": "12 months", "start": "call_started", "minimum": None, "action": "delete", "legal": FORMULA},),
    )
    classes = Table("classes", hostile, (Column("data_class", "Class"), Column("status", "Status", Kind.STATUS)), ({**key, "status": "held", "over": 3},))
    files = Table("files", "Files", (Column("data_class", "Class"),), ())
    columns = (
        Column("data_class", "Class"),
        Column("rows", "Rows", Kind.COUNT),
        Column("text", "Text"),
        Column("at", "At", Kind.MOMENT),
        Column("id", "Id", Kind.CODE),
    )
    ages = Table("ages", hostile, columns, tuple({**key, "rows": 1000 + n, "text": hostile, "at": NOW, "id": hostile} for n in range(rows)), most=2)
    folded = Table("folded", "Folded", columns, ages.rows, folded=True)
    plot = Plot("age", f"Rows by age {hostile}", hostile, (Series(hostile, (NOW,), (5.0,)), Series("none", (), ())), marks=(Mark(hostile, NOW),))
    line = Plot("lag", "Lag", "days", (Series("latest", (NOW, datetime(2026, 11, 21, tzinfo=UTC)), (1.5, 2.5)),), bars=False)
    facts = Facts("controller", hostile, (Column("name", "Controller"), Column("contact", "Contact")), {"name": hostile, "contact": None})
    checks = (Checked("cdr_complete", hostile, "fail", hostile, json.dumps({"x": hostile}), NOW, asked),)
    openings = Openings("claims_x", "Promises", (Opening("ON-1", hostile, "fail", checks), Opening("ON-2", "says", "not_built", ())))
    sections = (
        Section("cover", "This report", hostile, (facts,), (hostile,), asked),
        Section("schedule", "Retention schedule", "x", (schedule,)),
        Section("completeness", "Nothing older remains", "x", (classes, files)),
        Section("soundness", "Nothing went early", "x", (ages, folded, plot, line), tuple(f"{hostile} {n}" for n in range(25))),
        Section("claims", "Published promises", "x", (openings,)),
    )
    return Report(NOW, parse_span("2026-11", NOW), "Retention report", f"Example {hostile}", sections)


@pytest.fixture(scope="module")
def page() -> lxml.html.HtmlElement:
    return lxml.html.document_fromstring(as_html.render(made()).decode())


def test_a_page_fetches_nothing_and_runs_nothing_of_what_is_stored(page: lxml.html.HtmlElement) -> None:
    assert len(page.xpath("//script")) == 1
    assert page.xpath("//img | //iframe | //object | //b[contains(., 'para')]") == []
    assert [name for element in page.iter() if isinstance(element.tag, str) for name in element.attrib if name.startswith("on")] == []
    targets = [value for element in page.iter() for name, value in element.attrib.items() if name.rpartition("}")[2] in {"src", "href", "action", "xlink:href"}]
    assert [target for target in targets if not target.startswith(("#", "data:,"))] == []
    policy = page.xpath("//meta[@http-equiv='Content-Security-Policy']/@content")[0]
    assert policy.startswith("default-src 'none';")
    assert "url(" not in page.xpath("string(//style)")


def test_a_page_can_be_read_without_seeing_it(page: lxml.html.HtmlElement) -> None:
    assert page.get("lang") == "en-GB"
    assert page.xpath("//th[not(@scope)]") == []
    assert page.xpath("//table[not(caption)]") == []
    assert all(figure.xpath("./figcaption") and figure.xpath("./div[@role='img']/@aria-label") for figure in page.xpath("//figure"))
    assert len(page.xpath("//figure//svg")) == 2
    ids = page.xpath("//@id")
    assert len(ids) == len(set(ids))
    assert {"#" + key for key in ("cover", "schedule", "completeness", "soundness", "claims")} <= set(page.xpath("//nav//a/@href"))
    statuses = page.xpath("//span[contains(@class, 'status')]")
    assert all(status.text_content().strip() for status in statuses)
    assert "not set" in [status.text_content() for status in statuses]


def test_a_page_shows_what_is_stored_as_it_is(page: lxml.html.HtmlElement) -> None:
    assert HOSTILE in page.xpath("string(//section[@id='soundness']//td[@data-title='Text'][1])")
    assert page.xpath("string(//p[@class='who'])") == f"Example {HOSTILE}"
    assert "1 more are in the report as JSON." in page.text_content()
    assert "And 5 more." in page.text_content()
    assert "Parameters: 1 = " in page.text_content()


def test_a_plot_of_one_moment_is_drawn() -> None:
    drawn = plots.svg(Plot("lag", "Lag", "days", (Series("latest", (NOW,), (1.5,)),), bars=False), "x-")
    assert ">22 Nov 2026<" in drawn
    assert 'id="x-' in drawn
    assert plots.png(Plot("deleted", "Deleted", "rows", (Series("rows", (NOW,), (0.0,)),))).startswith(b"\x89PNG")


def test_json_has_everything() -> None:
    report = made(rows=5)
    found = json.loads(as_json.render(report))
    assert (found["format"], found["version"], found["period"]["first"]) == ("ringfence-retention-report", 1, "2026-11-01")
    assert list(found["sections"]) == [section.key for section in report.sections]
    assert [row["rows"] for row in found["sections"]["soundness"]["tables"]["ages"]] == [1000, 1001, 1002, 1003, 1004]
    assert found["sections"]["soundness"]["plots"]["lag"]["series"][0]["points"][1] == ["2026-11-21T00:00:00Z", 2.5]
    assert found["sections"]["claims"]["evidence"]["claims_x"][0]["checks"][0]["asked"][0]["parameters"] == {"1": HOSTILE}
    assert found["sections"]["cover"]["facts"]["controller"] == {"name": HOSTILE, "contact": None}
    assert found["sections"]["cover"]["asked"][0]["times"] == 3


def test_csv_has_a_row_a_class_and_no_formula() -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv.render(made(rows=1)).decode())))
    assert [(row["data_class"], row["policy"], row["status"], row["over"], row["rows"]) for row in rows] == [("call_log", "recommended", "held", "3", "1000")]
    assert rows[0]["legal"] == "'" + FORMULA


def test_a_pdf_holds_the_same_and_its_tables_go_on_over_pages() -> None:
    report = made(rows=1)
    long = Table("long", "Long", (Column("n", "Number", Kind.COUNT), Column("text", "Text")), tuple({"n": n, "text": "word " * 300} for n in range(40)))
    sections = (*report.sections, Section("long", "Long one", "x", (long,)))
    found = PdfReader(io.BytesIO(as_pdf.render(Report(NOW, report.span, report.title, report.controller, sections))))
    pages = [re.sub(r"\s+", " ", page.extract_text()) for page in found.pages]
    text = " ".join(pages)
    for section in sections:
        assert section.title in text
    assert "onerror=hacked=1" in text
    assert "not set" in text
    assert len([page for page in pages if "Number Text" in page]) > 5  # the head of the long table, again on each page
    assert all(f"page {number}" in page for number, page in enumerate(pages, 1))
    assert found.metadata is not None
    assert "Retention report" in str(found.metadata.title)
    assert sum(len(page.images) for page in found.pages) == 2


@settings(max_examples=25, deadline=None)
@given(st.text(max_size=60))
def test_no_stored_text_breaks_a_page_or_a_table(text: str) -> None:
    report = made(text, rows=1)
    bare = Report(
        NOW,
        report.span,
        report.title,
        text,
        tuple(
            Section(each.key, each.title, each.text, tuple(b for b in each.blocks if not isinstance(b, Plot)), each.exceptions, each.asked)
            for each in report.sections
        ),
    )
    found = lxml.html.document_fromstring(as_html.render(bare).decode())
    assert len(found.xpath("//script")) == 1
    assert len(found.xpath("//section")) == len(report.sections)
    json.loads(as_json.render(bare))
    assert len(list(csv.reader(io.StringIO(as_csv.render(bare).decode())))) == 2
    assert as_pdf.render(bare).startswith(b"%PDF-")


@pytest.mark.parametrize("form", list(Format))
def test_the_same_report_gives_the_same_content(form: Format) -> None:
    one, two = render(made(), form), render(made(), form)
    if form is Format.PDF:  # it says when it was made, and has an id
        one, two = (re.sub(rb"/(?:CreationDate|ModDate) \([^)]*\)|/ID *\[[^\]]*\]|<[0-9a-f]{32}>", b"", each) for each in (one, two))
    assert one == two


@pytest.mark.parametrize(
    ("value", "kind", "words"),
    [
        (None, Kind.COUNT, "-"),
        (1234567, Kind.COUNT, "1,234,567"),
        ("not_built", Kind.STATUS, "not built"),
        ("call_log", Kind.WORD, "call log"),
        (NOW, Kind.MOMENT, "2026-11-20 03:30 UTC"),
        (date(2026, 1, 2), Kind.DAY, "2026-01-02"),
        (31_546_800, Kind.DURATION, "365 d 3 h"),
        (12, Kind.MILLISECONDS, "12 ms"),
        ("a\x1b[31m\u202eb", Kind.TEXT, "a\\x1b[31m\\u202eb"),
        ("a\nb", Kind.CODE, "a\nb"),
    ],
)
def test_values_read_as_people_write_them(value: object, kind: Kind, words: str) -> None:
    assert shown(value, kind) == words


@pytest.mark.parametrize(("seconds", "words"), [(0, "0 s"), (59.6, "1 min"), (3600, "1 h"), (86_400 * 400 + 61, "400 d"), (-5, "-5 s"), (90_061, "1 d 1 h")])
def test_durations_have_two_units(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_every_status_has_a_tone() -> None:
    assert (tone("pass"), tone("fail"), tone("not_checkable"), tone("whatever")) == ("good", "bad", "open", "open")
