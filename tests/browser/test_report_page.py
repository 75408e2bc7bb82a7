"""The page in a real browser: it fits a telephone and a screen, runs nothing that is stored, asks for nothing, and prints with everything open."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from pypdf import PdfReader

from ari_app.private.progress import shown_progress
from retention.report.formats import Format, render
from ringfence import migrate
from ringfence.session import make_engine
from ringfence.settings import Settings
from tests.browser.devtools import Browser, Page, running
from tests.browser.root import find_chromium
from tests.database.reporting import HOSTILE, hostile, reported, run, seeded

PHONE, SCREEN = (360, 740), (1280, 900)
_WIDER = """[...document.querySelectorAll('body *')].filter(each => !each.closest('.wide, .plot, thead') && each.getBoundingClientRect().right >
    document.documentElement.clientWidth + 1).map(each => each.tagName + ' ' + each.textContent.slice(0, 60))"""


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The report of a store with hostile texts, as a page."""
    home = tmp_path_factory.mktemp("reported")
    settings = hostile(Settings(home=str(home)))
    engine = make_engine(settings)
    migrate.upgrade(engine)
    seeded(engine)
    run(engine, settings)
    path = home / "report.html"
    path.write_bytes(render(reported(engine, settings), Format.HTML))
    yield path
    engine.dispose()
    shutil.rmtree(home)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, fetched when the machine has none: never a reason to skip."""
    with shown_progress() as progress:
        program = find_chromium(progress=progress)
    with running(program) as browser:
        yield browser


@pytest.fixture
def opened(browser: Browser, page_file: Path, request: pytest.FixtureRequest) -> Page:
    """The page, in a window of the size that the test names."""
    page = browser.page()
    page.open(page_file, *request.param)
    return page


@pytest.mark.parametrize("opened", [PHONE, SCREEN], indirect=True, ids=["phone", "screen"])
def test_it_fits_and_runs_nothing_and_asks_for_nothing(opened: Page) -> None:
    assert opened.value("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert opened.value(_WIDER) == []
    opened.value("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert opened.value("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert opened.value(_WIDER) == []
    assert opened.value("typeof hacked") == "undefined"
    assert HOSTILE in opened.value("document.querySelector('.who').textContent")
    assert (opened.said(), opened.requested()) == ([], [])
    assert opened.value("document.querySelectorAll('figure svg').length") >= 3
    assert opened.value("[...document.querySelectorAll('figure svg')].every(each => each.getBoundingClientRect().height > 60)")


@pytest.mark.parametrize("opened", [PHONE], indirect=True)
def test_on_a_telephone_a_row_is_a_card_that_names_each_value(opened: Page) -> None:
    cell = "document.querySelector('#completeness td[data-title=\"Status\"]')"
    assert opened.value(f"getComputedStyle({cell}, '::before').content") == '"Status"'
    assert opened.value(f"getComputedStyle({cell}).display") == "grid"
    assert opened.value("parseFloat(getComputedStyle(document.body).fontSize)") >= 16


@pytest.mark.parametrize("opened", [SCREEN], indirect=True)
def test_dark_text_stands_on_white(opened: Page) -> None:
    assert opened.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    colours = opened.value("[...new Set([...document.querySelectorAll('body *')].filter(e => !e.closest('svg')).map(e => getComputedStyle(e).color))]")
    assert all(sum(int(part) for part in re.findall(r"\d+", colour)) < 255 for colour in colours), colours


@pytest.mark.parametrize("opened", [SCREEN], indirect=True)
def test_printed_it_is_whole_with_everything_open(opened: Page) -> None:
    assert opened.value("[...document.querySelectorAll('details')].every(each => !each.open)")
    found = PdfReader(io.BytesIO(opened.pdf()))
    text = re.sub(r"\s+", " ", " ".join(page.extract_text() for page in found.pages))
    assert len(found.pages) > 5
    assert "FROM legal_hold" in text  # a question inside a fold
    for title in ("Retention schedule", "Nothing older remains", "Nothing went early", "Published promises"):
        assert title in text
