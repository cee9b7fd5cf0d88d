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


def test_a_phone_scrolls_wide_tables(browser, index):
    browser.open(index, width=390, height=844)
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


def test_a_gain_leads_to_its_runs(browser, index):
    """A click opens the list of runs at the row; each run has the base row's run beside it."""
    browser.open(index)
    row = (
        "[...document.querySelectorAll('table.sortable tbody tr')]"
        ".find(row => row.innerText.startsWith('RMI'))"
    )
    assert browser.evaluate("document.getElementById('runs').open") is False
    browser.evaluate(f"{row}.querySelector('td.gain a').click()")
    browser.evaluate("new Promise(done => setTimeout(done, 100))")
    assert browser.evaluate("document.getElementById('runs').open")
    target = "document.querySelector('tbody:target')"
    said = browser.evaluate(f"{target}.innerText")
    assert said.startswith("RMI")
    assert " over " in said
    box = browser.evaluate(
        f"(({{top, bottom}}) => [top, bottom])({target}.getBoundingClientRect())"
    )
    assert 0 <= box[0] < 900


def test_contents_open_the_list_of_runs(browser, index):
    browser.open(index)
    browser.evaluate("document.querySelector('nav a[href=\"#runs\"]').click()")
    browser.evaluate("new Promise(done => setTimeout(done, 100))")
    assert browser.evaluate("document.getElementById('runs').open")


def test_tab_stops_are_few_and_arrows_move_inside_a_table(browser, index):
    browser.open(index)
    stops = "[...document.querySelectorAll('a[href],button,summary,[tabindex]')]"
    visible = f"{stops}.filter(e => e.tabIndex >= 0 && e.checkVisibility()).length"
    assert browser.evaluate(visible) <= 60
    browser.evaluate("document.querySelector('table.sortable tbody th a').focus()")
    first = browser.evaluate("document.activeElement.innerText")
    browser.press("ArrowDown", 40)
    second = browser.evaluate("document.activeElement.innerText")
    browser.press("ArrowUp", 38)
    assert browser.evaluate("document.activeElement.innerText") == first != second


@pytest.mark.parametrize("width", [1440, 1024, 390])
def test_nothing_is_cut_off(browser, index, width):
    """Figures fit into the page, which never scrolls sideways; a wide table scrolls alone."""
    browser.open(index, width=width, height=900)
    assert browser.evaluate("document.documentElement.scrollWidth") == width
    beyond = (
        "[...document.querySelectorAll('svg, img, h1, h2, h3, p, li, figcaption')]"
        ".filter(e => e.checkVisibility() && !e.closest('.wide'))"
        ".filter(e => e.getBoundingClientRect().right > innerWidth + 1).length"
    )
    assert browser.evaluate(beyond) == 0
    drawn = "[...document.querySelectorAll('.drawing svg')].filter(e => e.checkVisibility())"
    assert browser.evaluate(f"{drawn}.length") == browser.evaluate(
        "document.querySelectorAll('.drawing').length"
    )
    letters = f"Math.min(...{drawn}.map(e => 12 * e.clientWidth / e.viewBox.baseVal.width))"
    assert browser.evaluate(letters) >= 11  # pixels, also on a phone
    out_of_reach = (
        "[...document.querySelectorAll('.wide')]"
        ".filter(e => e.scrollWidth > e.clientWidth && e.tabIndex < 0).length"
    )
    assert browser.evaluate(out_of_reach) == 0


def test_words_of_a_figure_stay_inside_it(browser, index):
    browser.open(index)
    outside = (
        "[...document.querySelectorAll('.for-pages text')].filter(t => {"
        " const a = t.getBoundingClientRect(), b = t.closest('svg').getBoundingClientRect();"
        " return a.left < b.left - 1 || a.right > b.right + 1 || a.bottom > b.bottom + 1; }).length"
    )
    assert browser.evaluate(outside) == 0


def test_a_mark_says_its_number_under_the_mouse(browser, index):
    browser.open(index)
    browser.evaluate("document.querySelector('#seeds .for-pages').scrollIntoView()")
    found = (
        "(() => { const all = document.querySelectorAll('#seeds .for-pages g:has(> title)');"
        " const g = [...all].at(-1);"
        " const r = g.getBoundingClientRect();"
        " const hit = document.elementFromPoint(r.x + r.width / 2, r.y + r.height / 2);"
        " return hit.closest('g:has(> title)').querySelector('title').textContent; })()"
    )
    assert "seed" in browser.evaluate(found)


def test_predictions_enlarge_with_their_legend_and_arrows_show_the_next(browser, index):
    browser.open(index)
    browser.evaluate("document.querySelector('.pair').focus()")
    browser.press("Enter", 13)
    assert browser.evaluate("document.querySelector('dialog').open")
    names = "[...document.querySelectorAll('dialog figcaption')].map(c => c.textContent)"
    first = browser.evaluate(names)
    assert first[:2] == ["Image", "Truth"]
    assert len(first) == 4
    assert browser.evaluate("document.querySelectorAll('dialog .legend li').length") >= 3
    browser.press("ArrowRight", 39)
    second = browser.evaluate(names)
    assert second[:2] == first[:2]
    assert second[2:] != first[2:]
    browser.press("Escape", 27)
    assert not browser.evaluate("document.querySelector('dialog').open")
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


@pytest.mark.parametrize(
    ("width", "height", "shown"),
    [(1440, 900, (".lead", "#forest svg")), (1024, 768, (".lead",)), (390, 844, (".lead b",))],
)
def test_the_first_screen_has_the_verdict_and_a_desktop_its_picture(
    browser, index, width, height, shown
):
    browser.open(index, width=width, height=height)
    for part in shown:
        box = f"document.querySelector('{part}').getBoundingClientRect()"
        assert browser.evaluate(f"{box}.height") > 0
        assert browser.evaluate(f"{box}.bottom") <= height, part
        assert browser.evaluate(f"{box}.right") <= width, part
    text = browser.evaluate("document.querySelector('.lead').innerText").replace("\xa0", " ")
    assert "Settled" in text.splitlines()[0]
    assert "the 95 % interval runs from +" in text
