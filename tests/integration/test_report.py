"""A report from a store: complete, self-contained, and safe against hostile names."""

import base64
import hashlib
import json
import re
import shutil
from datetime import datetime
from html.parser import HTMLParser

import pytest
from typeset import typeset

from bench.cli.report import Builder
from bench.files import write_json
from bench.runs.rundir import run_dir
from bench.spec import digest
from bench.store.client import StoreError, default_uri
from bench.store.reading import fetch_artifact, read_study
from reports.news import moment
from reports.report import build_report


class Page(HTMLParser):
    """The tags and the text of a page."""

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
    folder = tmp_path_factory.mktemp("report")
    return build_report(store.uri, "losses", "tiny", folder, with_pdf=True)


@pytest.fixture(scope="module")
def page(files) -> Page:
    return Page(files.index.read_text())


def test_scores_on_the_way_are_a_figure_and_a_sentence_of_the_result(files, page):
    """Lines that were still rising are named at the top of the page and in a terminal."""
    assert {"progress.svg", "progress.pdf"} <= {file.name for file in files.all}
    assert "mIoU_11 (%) on None" not in page.text
    assert "Scores during training" in page.text
    for shown in (page.text, files.summary, files.note):
        assert "Still changing: from step 30 to the end, more than 1 point in CE (+" in shown


def test_page_needs_nothing_from_outside(files, page):
    html = files.index.read_text()
    assert len(html) < 5_000_000
    assert not {"link", "iframe"} & {tag for tag, _ in page.tags}
    for tag, attributes in page.tags:
        assert (attributes.get("src") or "data:image/").startswith("data:image/"), tag
        for name in ("href", "xlink:href"):
            value = attributes.get(name) or "#"
            assert value.startswith(("#", "data:image/")), value
    assert "@import" not in html


def test_only_the_pages_own_script_may_run(files, page):
    html = files.index.read_text()
    kinds = [attributes.get("type") for tag, attributes in page.tags if tag == "script"]
    assert kinds == ["application/json", None]
    script = html[html.rindex("<script>") + 8 : html.rindex("</script>")]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = (a["content"] for _, a in page.tags if a.get("http-equiv"))
    assert policy == (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'"
    )


def test_copies_on_the_page_are_the_files_text(files):
    html = files.index.read_text()
    start = html.index(">", html.index('id="copies"')) + 1
    copies = json.loads(html[start : html.index("</script>", start)])
    whole = files.named("tables.csv").read_text()
    for table in copies.values():
        header, _, rows = table["csv"].partition("\n")
        assert header in whole
        assert rows in whole
        assert table["latex"] in files.named("tables.tex").read_text()


def test_page_is_sound(page):
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(set(ids)) == len(ids)
    links = {a.get("href") or "" for tag, a in page.tags if tag == "a"}
    assert {link[1:] for link in links if link.startswith("#")} <= set(ids)
    assert all(attributes.get("alt") for tag, attributes in page.tags if tag == "img")
    drawings = [a for _, a in page.tags if a.get("role") == "img"]
    assert len(drawings) == 7  # forest, curve, gains, seeds, two of training, scores on the way
    assert all(attributes["aria-label"] for attributes in drawings)


def test_hostile_name_is_shown_as_text_everywhere(files, page, store):
    hostile = next(label for label in store.manifest.rows if "script" in label)
    assert hostile in page.text
    for file in files.all:
        if file.suffix in (".md", ".svg"):
            assert "<script" not in file.read_text()
    assert "<script>alert" not in files.index.read_text()
    tex = files.named("tables.tex").read_text()
    assert r"\textless{}script\textgreater{}" in tex
    assert r"100\% \$x\_1\$ \{\#\}" in tex


def test_every_missing_run_is_named_with_its_reason(page, files):
    for text in (page.text, files.named("tables.md").read_text()):
        assert "diverged: loss is nan at step 10: Affinity (seed 0)" in text
        assert "failed: oom: 3 GB wanted: Affinity (seed 1)" in text
        assert "queued: Affinity (seed 2)" in text


def test_conditions_are_stated_and_the_foreign_run_named(page):
    assert "differs † in BCE, seed 1" in page.text
    assert page.text.count("equal for all methods") == 5
    titles = [a["title"] or "" for tag, a in page.tags if tag == "td" and "title" in a]
    assert any(title.startswith("init0") for title in titles)
    assert "CamVid test, 6 images of 24 x 32 pixels, 40 steps; 3 seeds." in page.text


def test_paper_is_quoted_and_kept_apart(page, files):
    """CamVid is not the paper's data here, so its gain stands for its score."""
    assert "77.21" not in page.text
    assert "CE* (paper)" in page.text
    assert "compare directions, not values" in page.text
    whole = files.named("tables.csv").read_text()
    assert re.search(r"^1,CE\* \(paper\),gain:miou_21,paper,,0.07,,,", whole, re.M)


def test_predictions_show_image_truth_and_each_finished_method_with_its_difference(page, store):
    texts = [attributes["alt"] or "" for tag, attributes in page.tags if tag == "img"]
    first = [alt for alt in texts if alt.endswith("Seq05VD_f0")]
    labels = [row.label for row in store.manifest.tables[0].rows if row.label != "Affinity"]
    assert first[:4] == [f"{what}, Seq05VD_f0" for what in ("Image", "Truth", "CE", "Errors of CE")]
    assert len(first) == 2 + 2 * len(labels)


def test_report_is_the_same_every_time(files, store, tmp_path):
    again = build_report(store.uri, "losses", "tiny", tmp_path, with_pdf=True)
    for old, new in zip(files.all, again.all, strict=True):
        assert new.read_bytes() == old.read_bytes(), old.name


def test_note_starts_with_a_sentence(files):
    first, _, rest = files.note.partition("\n")
    assert first.startswith("**Settled")
    assert "points of mIoU_11 above CE" in first
    assert "| --: |" in rest


def test_report_of_a_study_that_has_not_begun(fresh, tmp_path):
    fresh.sync()
    files = build_report(fresh.uri, fresh.manifest.study, "tiny", tmp_path)
    text = Page(files.index.read_text()).text
    assert "No run has finished yet." in text
    assert "queued: CE (seeds 0, 1, 2)" in text
    assert not [file for file in files.all if file.suffix == ".svg"]


def test_terminal_text_has_the_main_table(files):
    assert "points of mIoU_11 above CE" in files.summary
    assert "gain over CE" in files.summary


def test_footer_has_the_digests_and_the_command(page, store):
    for value in (digest(store.manifest.model_dump(mode="json")), "code", "env"):
        assert value in page.text
    assert "segloss report losses --profile tiny" in page.text


def test_numbers_and_rows_link_to_the_list_of_runs(page, store):
    """The list names every run, and beside it the base row's run that its gain is paired with."""
    links = [a.get("href") or "" for tag, a in page.tags if tag == "a"]
    assert sum(link.startswith("#runs-") for link in links) > 20
    rmi, ce = store.manifest.rows["RMI"], store.manifest.rows["CE"]
    for run, base in zip(rmi.run_ids, ce.run_ids, strict=True):
        assert re.search(rf"over {base} finished {run}", page.text)


def test_runs_link_to_a_local_store_only_on_request(page, store, tmp_path):
    links = {a.get("href") or "" for tag, a in page.tags if tag == "a"}
    assert all(link.startswith("#") for link in links)
    asked = build_report(store.uri, "losses", "tiny", tmp_path, links=True)
    found = {a.get("href") or "" for tag, a in Page(asked.index.read_text()).tags if tag == "a"}
    outside = found - links
    assert len(outside) > 8
    assert all(link.startswith("http://127.0.0.1:5000/#/experiments/") for link in outside)


def test_print_files_are_made_on_request_and_never_left_behind(files, store, tmp_path):
    """An old figure beside new numbers would be stale in silence."""
    printed = {file.name for file in files.all if file.suffix == ".pdf"}
    drawn = {f"{file.stem}.pdf" for file in files.all if file.suffix == ".svg"}
    assert printed == drawn | {"predictions.pdf"}
    paper = files.named("paper.tex").read_text()
    assert all(f"{{{name}}}" in paper for name in printed)
    shutil.copytree(files.index.parent, tmp_path / "report")
    (tmp_path / "report/mine.svg").write_text("no report wrote this file")
    build_report(store.uri, "losses", "tiny", tmp_path / "report")
    left = {file.name for file in (tmp_path / "report").iterdir()}
    assert not [name for name in left if name.endswith(".pdf")]
    assert "paper.tex" not in left
    assert "mine.svg" in left


def test_environment_is_in_words(page, store):
    assert re.search(r"\d+ runs, ended on \d+ \w+ \d{4}\.", page.text)


def test_news_are_the_runs_that_finished_later(store, tmp_path):
    since = datetime.fromtimestamp(
        run_dir(store.root, store.manifest.rows["RMI"].run_ids[1]).state().updated
    )
    files = build_report(store.uri, "losses", "tiny", tmp_path, since=since)
    page = Page(files.index.read_text())
    assert "RMI, seed 2: miou_11" in page.text
    assert "CE, seed 0: miou_11" not in page.text
    assert "RMI, seed 2: miou_11" in files.summary
    shaded = [a for tag, a in page.tags if tag == "td" and "new" in (a.get("class") or "").split()]
    assert shaded


def test_a_store_with_every_fault_gives_a_report_that_names_them(store, fresh, tmp_path):
    hostile = next(label for label in store.manifest.rows if "script" in label)
    long = "x" * 300
    row = fresh.manifest.rows["RMI"].model_copy(update={"label": long, "method": hostile})
    table = fresh.manifest.tables[0]
    table = table.model_copy(
        update={"rows": (table.rows[0], row), "columns": ("unheard_of", "miou", "class_iou")}
    )
    fresh = fresh._replace(manifest=fresh.manifest.model_copy(update={"tables": (table,)}))
    for seed in (0, 1):
        fresh.finish("CE", seed)
        other = fresh.finish(long, seed)
    result = other.result()
    assert result is not None
    result["digests"]["code"] = "elsewhere"
    write_json(other.path / "result.json", result)
    (other.predictions / "Seq05VD_f0.prediction.png").write_bytes(b"torn")
    fresh.sync()
    folder = store.root / "artifacts" / fresh.manifest.name
    shutil.rmtree(next(folder.glob("*/artifacts/predictions")))
    (next(folder.glob("*/artifacts/result.json"))).unlink()
    files = build_report(fresh.uri, fresh.manifest.study, "tiny", tmp_path / "out", with_pdf=True)
    page = Page(files.index.read_text())
    assert "code elsewhere against code" in page.text
    assert "queued: CE (seed 2)" in page.text
    assert "No per-image matrices of" in page.text
    assert hostile in page.text
    assert long in page.text
    for name in ("tables.md", "tables.tex", "tables.csv", "tables.json"):
        assert "unheard" in files.named(name).read_text(), name
    assert "<script>alert" not in files.index.read_text()
    _typeset(files.index.parent)


def test_summary_has_verdict_first_table_scale_and_command(files):
    said = files.named("summary.md").read_text()
    whole = files.named("tables.md").read_text()
    lead, first = whole.partition("\n\n")[0], whole[whole.index("|  |") :].partition("\n\n")[0]
    assert said.startswith(lead)
    assert said.count("| :-- |") == 1
    assert first in said
    assert len(said) < len(lead) + len(first) + 800
    assert files.record.manifest.scale.rstrip(".") in said
    assert said.endswith("Run it again: `segloss run losses --profile tiny --seeds 3`\n")
    assert "--root" not in said


def test_latex_becomes_a_pdf(files):
    _typeset(files.index.parent)


def _typeset(folder):
    """Make paper.tex a PDF in two columns, in which nothing is wider or higher than its room."""
    code, log = typeset(folder, "paper")
    assert code == 0, log[-2000:]
    assert "twocolumn" in (folder / "paper.tex").read_text()
    assert (folder / "paper.pdf").stat().st_size > 10_000
    wrong = [line for line in log.splitlines() if re.match("Overfull|.*Float too large", line)]
    assert wrong == []


def test_report_of_an_unknown_study_is_refused(tmp_path):
    with pytest.raises(StoreError, match="run it first"):
        build_report(default_uri(tmp_path), "losses", "tiny", tmp_path)


def test_watch_rebuilds_until_all_runs_have_ended(fresh, monkeypatch, capsys):
    cells = [(label, seed) for label in fresh.manifest.rows for seed in fresh.manifest.seeds]
    fresh.sync()

    def finish_three_runs(_seconds):
        for _ in range(3):
            fresh.finish(*cells.pop())
        fresh.sync()

    monkeypatch.setattr("bench.cli.report.time.sleep", finish_three_runs)
    builder = Builder(fresh.root, fresh.uri, fresh.manifest.study, "tiny", since=moment("8h"))
    builder.publish(builder.build_until_done())
    printed = capsys.readouterr().out
    assert [line.split("  ")[1].split(":")[0] for line in printed.splitlines()[:2]] == [
        "6 runs not finished",
        "3 runs not finished",
    ]
    assert "points of mIoU_11 above CE" in printed
    assert "New since" in printed
    folder = fetch_artifact(fresh.uri, _study_run(fresh), "report")
    assert folder is not None
    assert {"index.html", "macros.tex", "seeds.svg"} <= {file.name for file in folder.iterdir()}


def _study_run(fresh):
    record = read_study(fresh.uri, fresh.manifest.study, "tiny")
    assert record is not None
    return record.mlflow_run_id
