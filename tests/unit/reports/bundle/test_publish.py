"""Publishing: the same tables from the bundle as from the root, and files that stay as they are."""

import csv
import io
import json
import re
import shutil

import pytest
from imported import import_runs
from published import edit_json, make_study, publish_study

from bench.cli.bundles.verbs import publish, report_from
from bench.errors import SpecError
from bench.manifest import recall
from bench.profile import load_profile
from bench.runs.rundir import run_dir
from bench.store.mirror import Mirror
from reports.bundle import write
from reports.bundle.files import BundleError
from reports.bundle.read import open_bundle
from reports.bundle.verify import verify
from reports.report import build_report
from reports.stored import read_scores


def cells(text: str) -> list[dict[str, str]]:
    """The lines of a tables.csv without the ids that MLflow gave the runs."""
    lines = list(csv.DictReader(io.StringIO(text)))
    return [{k: v for k, v in line.items() if k != "runs"} for line in lines]


def test_the_bundle_gives_the_tables_of_the_root_to_the_last_digit(
    published, store, tmp_path, monkeypatch
):
    """Also in an empty folder, with nothing but the bundle at hand."""
    manifest = recall(published / "out", "tiny-study", "tiny")
    Mirror(store.uri, tmp_path / "artifacts").sync(published / "out", manifest)
    rerun = "segloss run study/tiny-study.toml --profile profile/tiny.toml"
    ours = build_report(store.uri, "tiny-study", "tiny", tmp_path / "ours", rerun=rerun)
    shutil.copytree(published / "bundle", tmp_path / "empty" / "theirs")
    monkeypatch.chdir(tmp_path / "empty")
    report_from(tmp_path / "empty/theirs", tmp_path / "empty/segloss-out")
    theirs = tmp_path / "empty/segloss-out/reports/from-theirs"
    expected = ours.named("tables.csv").read_text()
    assert len(cells(expected)) > 50
    assert cells((theirs / "tables.csv").read_text()) == cells(expected)
    assert cells((published / "bundle/report/tables.csv").read_text()) == cells(expected)
    for name in ("tables.md", "tables.tex", "macros.tex"):
        assert (theirs / name).read_text() == ours.named(name).read_text()
    assert {"index.html", "seeds.svg"} <= {path.name for path in theirs.iterdir()}
    assert "MLflow" not in (theirs / "index.html").read_text().partition("Built by")[2]


def test_the_command_for_more_seeds_names_files_of_the_bundle(published):
    """It can be pasted inside the bundle: no shipped study or profile has these names."""
    (command,) = re.findall("segloss run .*", (published / "bundle/README.md").read_text())
    _, _, study, _, profile, *_ = command.split()
    assert (published / "bundle" / study).exists()
    assert (published / "bundle" / profile).exists()


def test_publishing_again_changes_no_file(published, tmp_path):
    """So a bundle lives well in git: bytes and times stay."""
    folder = tmp_path / "again"
    shutil.copytree(published, folder)
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in files(folder / "bundle")}
    publish_study(folder, folder / "bundle")
    assert {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in files(folder / "bundle")} == before


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_bundle_holds_no_secret_of_the_machine(published):
    """Neither host names nor folders of this machine."""
    for path in files(published / "bundle"):
        content = path.read_bytes()
        assert b"secret-host" not in content, path
        assert str(published).encode() not in content, path


def test_an_unfinished_study_grows_in_the_same_folder(tmp_path):
    """The files of its first runs stay; a run that a root lacks is never dropped."""
    manifest = make_study(tmp_path, without=("RMI",))
    place = (tmp_path / "out", manifest, tmp_path / "bundle", {})
    assert write.publish(*place) == write.Published(6, 8)
    bundle = open_bundle(tmp_path / "bundle")
    rmi = bundle.manifest.rows["RMI"].run_ids
    assert [bundle.record(run_id) for run_id in rmi] == [None, None]
    first = {p: p.stat().st_mtime_ns for p in files(tmp_path / "bundle/runs")}
    (tmp_path / "more").mkdir()
    make_study(tmp_path / "more")
    for run_id in rmi:
        source = tmp_path / "more/out/runs" / run_id
        shutil.copytree(source, tmp_path / "out/runs" / run_id)
    assert write.publish(*place) == write.Published(8, 8)
    now = {p: p.stat().st_mtime_ns for p in files(tmp_path / "bundle/runs")}
    assert len(now) == len(first) + 2
    assert first.items() <= now.items()
    shutil.rmtree(tmp_path / "out/runs" / rmi[0])
    with pytest.raises(BundleError, match=r"has 1 runs that .*sync --from"):
        write.publish(*place)


def test_authors_stay_and_reach_the_citation(published, tmp_path):
    """A person completes .zenodo.json; publishing again writes CITATION.cff from it."""
    folder = tmp_path / "cited"
    shutil.copytree(published, folder)
    zenodo = folder / "bundle/.zenodo.json"
    metadata = json.loads(zenodo.read_text())
    metadata["creators"] = [{"name": 'Doe, "J"', "orcid": "0000-0001-2345-6789"}]
    zenodo.write_text(json.dumps(metadata | {"license": "cc-by-4.0"}))
    publish_study(folder, folder / "bundle")
    assert json.loads(zenodo.read_text()) == metadata | {"license": "cc-by-4.0"}
    import yaml

    citation = yaml.safe_load((folder / "bundle/CITATION.cff").read_text())
    assert citation["authors"] == [
        {
            "family-names": "Doe",
            "given-names": '"J"',
            "orcid": "https://orcid.org/0000-0001-2345-6789",
        }
    ]
    assert citation["title"] == metadata["title"]


def test_another_folder_or_file_is_refused(published, tmp_path, edit):
    """Before anything is written."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full/letter.txt").write_text("Dear …")
    with pytest.raises(BundleError, match="holds other files"):
        publish_study(published, tmp_path / "full")
    for name in ("tiny-study.toml", "tiny.toml"):
        shutil.copy(published / name, tmp_path)
    arguments = (str(tmp_path / "tiny-study.toml"), tmp_path / "new")
    edit(tmp_path / "tiny.toml", "lr = 0.05", "lr = 0.06")
    with pytest.raises(SpecError, match=r"recipe\.lr is 0\.06, the runs were made with 0\.05"):
        publish(*arguments, profile=str(tmp_path / "tiny.toml"), root=published / "out")
    edit(tmp_path / "tiny.toml", "lr = 0.06", "lr = 0.05")
    edit(tmp_path / "tiny-study.toml", "downsample_factor = 4", "downsample_factor = 2")
    with pytest.raises(SpecError, match=r"has changed since its runs were made: rows of tables\.1"):
        publish(*arguments, profile=str(tmp_path / "tiny.toml"), root=published / "out")
    assert not (tmp_path / "new").exists()


def test_the_published_files_plan_the_same_runs(published):
    """A stranger can train the study from the bundle's own files."""
    bundle = published / "bundle"
    profile = load_profile(str(bundle / "profile/tiny.toml"))
    assert profile == load_profile(str(published / "tiny.toml"))
    assert (bundle / "study/tiny-study.toml").read_text() == (
        published / "tiny-study.toml"
    ).read_text()


def test_counts_and_scores_survive(published):
    """Intervals over images need every count."""
    from bench.store.snapshot import address
    from reports.bundle.read import unpacked

    with unpacked(published / "bundle") as (bundle, root):
        _, scores = read_scores(address(root), "tiny-study", "tiny")
        assert scores.images.notes == ()
        assert len(scores.images.runs) == len(scores.frame)
        run_id = bundle.manifest.rows["CE"].run_ids[0]
        assert not run_dir(root, run_id).weights.exists()


COLUMNS = "method,seed,image,group,intersection/sky,union/sky,intersection/pole,union/pole\n"
IMAGES = COLUMNS + "".join(
    f"{method},{seed},i{i},g{i // 2},{500 + 40 * i + n + seed},{1000 + i},{3 + i + n},40\n"
    for n, method in enumerate(("CE", "RMI"))
    for seed in (0, 1, 2)
    for i in range(6)
)


def test_imported_runs_are_published_too(store, tmp_path):
    """With their images, and without files of study and profile."""
    scores = {}
    for line in csv.DictReader(io.StringIO(IMAGES)):
        counts = scores.setdefault((line["method"], line["seed"]), [0, 0, 0, 0])
        for i, name in enumerate(list(line)[4:]):
            counts[i] += int(line[name])
    runs = "method,seed,mIoU\n" + "".join(
        f"{method},{seed},{(a / b + c / d) / 2!r}\n"
        for (method, seed), (a, b, c, d) in scores.items()
    )
    import_runs(store, tmp_path, ("elsewhere", "imported"), runs, IMAGES)
    publish("elsewhere", tmp_path / "bundle", profile="imported", root=tmp_path / "out")
    ours = build_report(store.uri, "elsewhere", "imported", tmp_path / "ours")
    theirs = (tmp_path / "bundle/report/tables.csv").read_text()
    assert cells(theirs) == cells(ours.named("tables.csv").read_text())
    assert verify(tmp_path / "bundle").endswith("6 of 6 runs verified")
    path = sorted((tmp_path / "bundle/runs").iterdir())[0]
    was = json.loads(path.read_text())["result"]["metrics"]["miou"]
    edit_json(path, ["result", "metrics", "miou"], was + 0.001)
    with pytest.raises(
        BundleError, match=rf"{path.name}: result.metrics.miou is .* give {str(was)[:8]}"
    ):
        verify(tmp_path / "bundle")
