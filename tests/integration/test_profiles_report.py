"""The report on several profiles as files and from the command line."""

import json

import numpy as np
import pytest
from imported import import_runs
from scipy import stats

from bench.cli.compare import report_profiles
from bench.cli.report import report
from bench.errors import SpecError
from bench.store.client import StoreError
from reports.profiles.build import build_profiles_report

PROFILES = ("city", "vessel")
SCORES = {
    "city": {"CE": (50, 51, 50.5), "Dice": (52, 52.5, 51), "RMI": (54, 55, 54.2)},
    "vessel": {"CE": (40, 43, 41), "Dice": (41, 42, 42), "RMI": (44, 43.5, 42.9)},
}


@pytest.fixture(scope="module")
def imported(store, tmp_path_factory):
    """A study on two profiles; on a third nothing has finished."""
    for profile, rows in SCORES.items():
        lines = [f"{m},{i},{v}" for m, values in rows.items() for i, v in enumerate(values)]
        folder = tmp_path_factory.mktemp(profile)
        import_runs(store, folder, ("many", profile), "\n".join(["method,seed,mIoU", *lines]))
    return store


@pytest.fixture(scope="module")
def files(imported, tmp_path_factory):
    folder = tmp_path_factory.mktemp("reports")
    return build_profiles_report(imported.uri, "many", PROFILES, folder, "segloss report …")


def test_every_format_is_there_and_holds_scipys_numbers(files):
    assert files.index.parent.name == "many-on-city-and-vessel"
    names = {file.name for file in (files.index, *files.others)}
    assert {"index.html", "tables.md", "tables.tex", "tables.csv", "ranks.svg", "gains.svg"} < names
    content = json.loads((files.index.parent / "tables.json").read_text())
    gains = next(table for table in content["tables"] if table["key"] == "gains")
    found = next(row for row in gains["rows"] if row["label"] == "RMI")["cells"][-1]["value"]
    means = [np.mean(np.subtract(rows["RMI"], rows["CE"])) for rows in SCORES.values()]
    wanted = stats.t.interval(0.95, 1, np.mean(means), stats.sem(means))
    assert (found["low"], found["high"]) == pytest.approx(wanted, abs=1e-9)


def test_the_page_stands_alone_and_takes_imported_runs_on_trust(files):
    page = files.index.read_text()
    assert 'href="http' not in page  # each profile has an experiment of its own in MLflow
    assert "<td>taken on trust</td>" in page
    assert "RMI on vessel" in page  # in the list of runs


def test_the_command_prints_all_tables(imported, tmp_path, capsys):
    report_profiles("many", list(PROFILES), tmp_path, imported.uri)
    out = capsys.readouterr().out
    assert "On 2 profiles RMI has the highest mean gain over CE" in out.splitlines()[0]
    assert "How well each profile tells rows apart" in out
    assert out.rstrip().endswith("many-on-city-and-vessel/index.html")


@pytest.mark.parametrize("profiles", [("city",), ("city", "city")])
def test_one_profile_is_refused(imported, tmp_path, profiles):
    with pytest.raises(SpecError, match="names fewer than two profiles; name another"):
        build_profiles_report(imported.uri, "many", profiles, tmp_path, "")


def test_a_profile_that_the_study_did_not_run_on_is_refused(imported, tmp_path):
    with pytest.raises(StoreError, match="no study 'many' on profile 'field'"):
        build_profiles_report(imported.uri, "many", ("city", "field"), tmp_path, "")


def test_a_profile_without_a_finished_run_is_refused(imported, fresh, tmp_path):
    manifest = fresh.manifest.model_copy(update={"study": "many", "profile": "waiting"})
    fresh._replace(manifest=manifest).sync()
    with pytest.raises(SpecError, match="many on waiting has no finished run; run it first"):
        build_profiles_report(imported.uri, "many", ("city", "waiting"), tmp_path, "")


@pytest.mark.parametrize(
    ("more", "options"),
    [(["city"], {}), (["vessel"], {"profiles": ["city"], "watch": True})],
    ids=["without --profiles", "with --watch"],
)
def test_a_command_that_makes_no_sense_is_refused(more, options):
    with pytest.raises(SpecError, match="several profiles go after --profiles"):
        report("many", more, **options)
