"""A whole report from a store: complete, self-contained, and safe with names from outside."""

import re
from html.parser import HTMLParser

import pytest

from bench.tracking import StoreError, default_uri
from reports.report import build_report, comparison_text

# MLflow's own use of SQLAlchemy.


class Page(HTMLParser):
    """What a browser would see."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def files(store, tmp_path_factory):
    return build_report(store.uri, "losses", "tiny", tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def page(files) -> Page:
    return Page(files.index.read_text())


def test_page_needs_nothing_from_outside(files, page):
    html = files.index.read_text()
    assert len(html) < 5_000_000
    assert not {"script", "link", "iframe"} & {tag for tag, _ in page.tags}
    for tag, attributes in page.tags:
        for name in ("src", "href", "xlink:href"):
            value = attributes.get(name) or "#"
            assert value.startswith(("#", "data:image/png;base64,")), (tag, value)
    assert "@import" not in html


def test_page_is_sound(page):
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(set(ids)) == len(ids)
    links = {(a.get("href") or "")[1:] for tag, a in page.tags if tag == "a"}
    assert links <= set(ids)
    assert all(attributes.get("alt") for tag, attributes in page.tags if tag == "img")
    drawings = [a for _, a in page.tags if a.get("role") == "img"]
    assert len(drawings) == 3
    assert all(attributes["aria-label"] for attributes in drawings)


def test_hostile_name_is_shown_as_text_everywhere(files, page, store):
    hostile = next(label for label in store.manifest.rows if "script" in label)
    assert hostile in page.text
    for file in (files.index, files.markdown, *files.figures):
        assert "<script" not in file.read_text()
    tex = files.latex.read_text()
    assert r"\textless{}script\textgreater{}" in tex
    assert r"100\% \$x\_1\$ \{\#\}" in tex


def test_nothing_that_is_missing_is_silent(page, files):
    for text in (page.text, files.markdown.read_text()):
        assert "diverged: loss is nan at step 10: Affinity (seed 0)" in text
        assert "failed: oom: 3 GB wanted: Affinity (seed 1)" in text
        assert "queued: Affinity (seed 2)" in text


def test_conditions_are_stated_and_the_foreign_run_named(page):
    assert "differs † in BCE, seed 1" in page.text
    assert page.text.count("equal for all methods") == 5
    assert "init0" in page.text
    assert "CamVid test, 6 images of 24 x 32 pixels, 40 steps; 3 seeds." in page.text


def test_paper_is_quoted_and_kept_apart(page, files):
    assert "77.21" in page.text
    assert "compare directions, not values" in page.text
    assert re.search(r"^1,CE\* \(paper\),miou,paper,,77.21,,,True$", files.csv.read_text(), re.M)


def test_predictions_show_image_truth_and_each_finished_method(page, store):
    pictures = [attributes["alt"] or "" for tag, attributes in page.tags if tag == "img"]
    first = [alt for alt in pictures if alt.endswith("Seq05VD_f0")]
    labels = [label for label in store.manifest.tables[0].rows if label.label != "Affinity"]
    assert len(first) == 2 + len(labels)
    assert first[:2] == ["Image, Seq05VD_f0", "Truth, Seq05VD_f0"]


def test_report_is_the_same_every_time(files, store, tmp_path):
    again = build_report(store.uri, "losses", "tiny", tmp_path)
    for old, new in zip(files.all, again.all, strict=True):
        assert new.read_bytes() == old.read_bytes(), old.name


def test_note_starts_with_a_sentence(files):
    first, _, rest = files.note.partition("\n")
    assert first.startswith("RMI has the highest mIoU")
    assert "| --: |" in rest


def test_report_of_a_study_that_has_not_begun(fresh, tmp_path):
    fresh.sync()
    files = build_report(fresh.uri, fresh.manifest.study, "tiny", tmp_path)
    text = Page(files.index.read_text()).text
    assert "No run has finished yet." in text
    assert "queued: CE (seeds 0, 1, 2)" in text
    assert files.figures == ()


def test_terminal_text_has_the_main_table(store):
    text = comparison_text(store.uri, "losses", "tiny")
    assert text.startswith("RMI has the highest mIoU")
    assert "gain over CE" in text


def test_report_of_an_unknown_study_is_refused(tmp_path):
    with pytest.raises(StoreError, match="run it first"):
        build_report(default_uri(tmp_path), "losses", "tiny", tmp_path)
