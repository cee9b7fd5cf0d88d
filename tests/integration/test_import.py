"""Imported runs have the report that trained ones have, and its numbers are scipy's."""

import json

import numpy as np
import pytest
from imported import import_runs
from scipy import stats
from statsmodels.stats.multitest import multipletests

from reports.report import build_report
from reports.sentences.conditions import TRUST
from reports.stored import read_scores

SCORES = {
    "CE": (52.1344213, 51.82, 52.5101),
    "CE + Dice": (53.0123, 51.4466, 53.9514),
    "Focal": (52.0004, 51.9988, 53.1415926),
    "RMI": (54.3, 54.911, 54.02),
}
LINES = [(method, i, score) for method, row in SCORES.items() for i, score in enumerate(row)]
RUNS = "method,seed,mIoU\n" + "".join(f"{m},{seed},{score}\n" for m, seed, score in LINES)


@pytest.fixture(scope="module")
def report(store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("import")
    import_runs(store, folder, ("made-elsewhere", "imported"), RUNS)
    return build_report(store.uri, "made-elsewhere", "imported", folder / "report")


@pytest.fixture(scope="module")
def gains(report):
    """The comparison of each method with CE."""
    table, *_ = json.loads(report.named("tables.json").read_text())["tables"]
    column = [column["key"] for column in table["columns"]].index("gain:miou")
    cells = {row["label"]: row["cells"][column]["comparison"] for row in table["rows"]}
    assert cells.pop("CE") is None
    return cells


def test_intervals_are_those_of_the_paired_t_test(gains):
    for method, found in gains.items():
        wanted = stats.ttest_rel(SCORES[method], SCORES["CE"]).confidence_interval(0.95)
        mean = np.mean(np.subtract(SCORES[method], SCORES["CE"]))
        assert found["gain"]["mean"] == pytest.approx(mean, abs=1e-9)
        assert found["gain"]["low"] == pytest.approx(wanted.low, abs=1e-9)
        assert found["gain"]["high"] == pytest.approx(wanted.high, abs=1e-9)


def test_p_is_that_of_the_exact_paired_test_and_holm_is_that_of_statsmodels(gains):
    wanted = [
        stats.permutation_test(
            (SCORES[method], SCORES["CE"]),
            lambda a, b: np.mean(a) - np.mean(b),
            permutation_type="samples",
        ).pvalue
        for method in gains
    ]
    assert len(set(wanted)) > 1
    assert [found["p"] for found in gains.values()] == pytest.approx(wanted, abs=1e-9)
    holm = multipletests(wanted, method="holm")[1]
    assert [found["p_adjusted"] for found in gains.values()] == pytest.approx(holm, abs=1e-9)


def test_report_says_what_it_takes_on_trust(report):
    page = report.index.read_text()
    assert TRUST in page
    assert page.count("<td>taken on trust</td>") == 7  # one for each digest
    for claim in ("equal for all methods", "a seed fixes", "unprobed", "not known yet"):
        assert claim not in page
    assert TRUST in report.named("tables.md").read_text()
    assert "taken on trust" in report.named("tables.tex").read_text()
    assert report.named("seeds.svg").exists()


def test_images_widen_the_interval_by_their_own_part(store, tmp_path):
    """One score per image: the interval adds the spread of the mean over other images."""
    random = np.random.default_rng(0)
    offsets = {m: random.normal(0, 5, 50) for m in SCORES}
    lines = [
        f"{m},{seed},i{i},{score + d - offsets[m].mean()}"
        for m, seed, score in LINES
        for i, d in enumerate(offsets[m])
    ]
    images = "method,seed,image,score\n" + "\n".join(lines)
    import_runs(store, tmp_path, ("with-images", "imported"), RUNS, images)
    _, scores = read_scores(store.uri, "with-images", "imported")
    found = scores.compare("RMI", "CE", "miou")
    plain = stats.ttest_rel(SCORES["RMI"], SCORES["CE"]).confidence_interval(0.95)
    other = stats.ttest_rel(offsets["RMI"], offsets["CE"]).confidence_interval(0.95)
    halves = ((plain.high - plain.low) / 2, (other.high - other.low) / 2)
    assert scores.covers_images
    assert found.gain.half_width == pytest.approx(np.hypot(*halves), abs=1e-6)
    assert scores.of("RMI", "miou_image") == {}


def test_the_command_prints_one_line_for_a_fault_and_a_report_for_a_file(segloss, store, tmp_path):
    (tmp_path / "runs.csv").write_text(RUNS.replace("53.0123", "nan"))
    arguments = (
        "import",
        "runs.csv",
        "--study",
        "by-command",
        "--store",
        store.uri,
        "--root",
        "out",
    )
    done = segloss(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "segloss: runs.csv, line 5, column 'mIoU': 'nan' is no score; delete the line, and the "
        "report says that the run is missing\n"
    )
    assert not (tmp_path / "out").exists()
    (tmp_path / "runs.csv").write_text(RUNS.replace("CE + Dice,0,53.0123\n", ""))
    done = segloss(*arguments)
    assert done.returncode == 0, done.stderr
    first, second, *_ = done.stdout.splitlines()
    assert first == "runs.csv: 11 runs imported; scores are read as percent"
    assert second.startswith("runs.csv, line 5: CE + Dice has no run of seed 0;")
    assert (tmp_path / "out/reports/by-command-imported/index.html").exists()
