"""The report in a real browser: no errors, no requests, usable with mouse, keyboard and touch."""

import json
import os
from itertools import pairwise

import pytest
from browser import Browser, chromium

from reports.report import build_report

pytestmark = pytest.mark.long

ORDER = (
    "[...document.querySelector('table.sortable').tBodies[0].rows].map(r => r.cells[0].innerText)"
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    program = chromium()
    if program is None:
        # In CI a skip would hide that these tests never run.
        assert not os.environ.get("CI"), "no chromium here: apt-get install chromium"
        pytest.skip("no chromium on this machine")
    with Browser(program, tmp_path_factory.mktemp("browser")) as found:
        yield found


@pytest.fixture(scope="module")
def index(store, tmp_path_factory):
    return build_report(store.uri, "losses", "tiny", tmp_path_factory.mktemp("page")).index


@pytest.mark.parametrize("dark", [False, True])
def test_page_has_no_errors_and_requests_nothing(browser, index, dark):
    browser.open(index, dark=dark)
    assert browser.complaints() == []
    requested = [url for url in browser.requests() if not url.startswith("data:")]
    assert requested == [index.as_uri()]
    background = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(23, 24, 26)") == dark


def test_hostile_name_is_text(browser, index):
    browser.open(index)
    assert browser.evaluate("document.body.innerText.includes('<script>alert(1)</script>')")
    assert browser.evaluate("document.scripts.length") == 2


def test_phone_scrolls_tables_and_not_the_page(browser, index):
    browser.open(index, width=390, height=844)
    assert browser.evaluate("document.documentElement.scrollWidth") == 390
    wide = "[...document.querySelectorAll('.wide')].some(e => e.scrollWidth > e.clientWidth)"
    assert browser.evaluate(wide)


def test_tables_sort_by_click_and_key_and_keep_quoted_rows_last(browser, index):
    browser.open(index)
    printed = browser.evaluate(ORDER)
    headings = "[...document.querySelector('table.sortable').tHead.rows[0].cells]"
    column = browser.evaluate(f"{headings}.findIndex(h => h.textContent.startsWith('mIoU'))")
    browser.evaluate(f"{headings}[{column}].querySelector('button').focus()")
    values = (
        "[...document.querySelector('table.sortable').tBodies[0].rows]"
        ".filter(r => !r.classList.contains('quoted'))"
        f".map(r => r.cells[{column}].dataset.value)"
    )
    for order in ("descending", "ascending"):
        browser.press("Enter", 13)
        found = [float(value) for value in browser.evaluate(values) if value]
        assert found == sorted(found, reverse=order == "descending")
        assert browser.evaluate(values)[-1] == ""  # what is missing comes last
        sort = "document.activeElement.parentElement.getAttribute('aria-sort')"
        assert browser.evaluate(sort) == order
        assert "(paper)" in browser.evaluate(ORDER)[-1]
    browser.press("Enter", 13)
    assert browser.evaluate(ORDER) == printed


@pytest.mark.parametrize("form", ["csv", "latex"])
def test_copy_buttons_copy(browser, index, form):
    browser.open(index)
    browser.call(
        "Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"]
    )
    expected = browser.evaluate(
        f"JSON.parse(document.getElementById('copies').textContent)['1']['{form}']"
    )
    browser.evaluate(f"document.querySelector('[data-copies=\"1\"] [data-form={form}]').click()")
    label = f"document.querySelector('[data-copies=\"1\"] [data-form={form}]').textContent"
    for _ in range(100):
        if browser.evaluate(label) == "Copied":
            break
        browser.evaluate("new Promise(done => setTimeout(done, 20))")
    assert browser.evaluate(label) == "Copied"
    assert browser.evaluate("navigator.clipboard.readText()") == expected
    assert "RMI" in json.dumps(expected)
    assert browser.complaints() == []


def test_figures_enlarge_and_close_again(browser, index):
    browser.open(index)
    for kind in ("img", "svg"):
        browser.evaluate(f"document.querySelector('.enlarge:has({kind})').focus()")
        browser.press("Enter", 13)
        assert browser.evaluate("document.querySelector('dialog').open")
        width = browser.evaluate(f"document.querySelector('dialog {kind}').clientWidth")
        assert width > 600
        browser.press("Escape", 27)
        assert not browser.evaluate("document.querySelector('dialog').open")
        browser.evaluate("new Promise(done => setTimeout(done, 50))")
        assert browser.evaluate(f"document.querySelectorAll('dialog {kind}').length") == 0
    assert browser.complaints() == []


def test_no_heading_skips_a_level(browser, index):
    browser.open(index)
    levels = browser.evaluate(
        "[...document.querySelectorAll('h1,h2,h3,h4')].map(h => Number(h.tagName[1]))"
    )
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    nameless = (
        "[...document.querySelectorAll('button,a')].filter(e => !e.textContent.trim()"
        " && !e.querySelector('img[alt],[aria-label]')).length"
    )
    assert browser.evaluate(nameless) == 0


def test_the_page_prints_to_pdf(browser, index, tmp_path):
    browser.open(index)
    browser.print(tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
