"""What may be imported where, seen from fresh interpreters."""

import os
import subprocess
import sys

import pytest
from tiny import TINY_PROFILE, TINY_STUDY

from bench.cli.options import PlanOptions
from bench.cli.planning.inputs import read_inputs
from bench.cli.planning.plans import make_plans
from bench.files import write_json
from bench.manifest import remember
from bench.probes.record import write_records
from bench.runs.rundir import run_dir

HEAVY = ("torch", "mlflow", "pandas", "matplotlib", "optuna", "timm")


def loaded_by(code: str) -> set[str]:
    """Heavy packages that a fresh interpreter has loaded after ``code``, however it ends."""
    probe = f"import atexit, sys\natexit.register(lambda: print(*sys.modules))\n{code}"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    loaded = done.stdout.split()
    assert "atexit" in loaded
    return {name for name in loaded if name in HEAVY}


def verb(arguments: str) -> str:
    return f"import bench.cli\nsys.argv = 'segloss {arguments}'.split()\nbench.cli.main()"


def test_help_loads_nothing_heavy():
    """`segloss --help` answers at once."""
    assert loaded_by(verb("--help")) == set()


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        ("validate no-such-study", set()),
        ("run no-such-study", set()),
        ("tune no-such-study", set()),
        ("status --root nowhere", set()),
        ("status --watch --root nowhere", set()),
        ("logs RMI --root nowhere", set()),
        ("retry --failed oom --root nowhere", set()),
        ("cancel --root nowhere", set()),
        ("sync --root nowhere", set()),
        ("ui --root nowhere", set()),
        ("import nowhere.csv --study mine", set()),
        ("publish losses --root nowhere --out nowhere", set()),
        ("verify nowhere", set()),
        ("report --from nowhere", set()),
        ("sync --from nowhere --root nowhere", set()),
        ("list losses", {"torch"}),
        ("list models", set()),
        ("list datasets", set()),
        ("list profiles", set()),
        ("list studies", set()),
        ("list columns", set()),
        ("list metrics", set()),
        ("data check camvid", set()),
        ("data convert camvid --to nowhere", set()),
        ("data download camvid", set()),
    ],
)
def test_verbs_load_no_more_than_they_need(arguments, allowed):
    """What reads files and prints lines waits for no torch."""
    assert loaded_by(verb(arguments)) <= allowed


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A root whose runs are all finished, with the study and the profile beside it."""
    folder = tmp_path_factory.mktemp("finished")
    study, profile, root = (folder / name for name in ("study.toml", "tiny.toml", "out"))
    study.write_text(TINY_STUDY.replace('"CE & CRF", ', ""))
    profile.write_text(TINY_PROFILE)
    root.mkdir()
    options = PlanOptions(profile=str(profile), root=root)
    (plan,) = make_plans(*read_inputs([str(study)], options), options, without_crf=False)
    remember(root, plan.manifest)
    for run_id, spec in plan.specs.items():
        directory = run_dir(root, run_id)
        directory.create(spec)
        write_records([directory], spec, None)
        write_json(directory.result_file, {"metrics": {"miou": 0.5}})
        directory.write_state(status="finished")
    return f"{study} --profile {profile} --root {root}"


def test_a_plan_of_finished_runs_loads_nothing_heavy(finished):
    """The earlier plan has checked losses and network, and the workers their behaviour."""
    assert loaded_by(verb(f"plan {finished}")) == set()


def test_a_run_with_nothing_to_do_loads_nothing_heavy_itself(finished):
    """Store and report, which have budgets of their own, are left out."""
    alone = (
        "import bench.cli.report, bench.cli.session\n"
        "bench.cli.report.report_all = lambda *arguments: None\n"
        "bench.cli.session.is_current = lambda *arguments: True\n"
    )
    assert loaded_by(alone + verb(f"run {finished}")) == set()


@pytest.mark.parametrize("arguments", ["validate losses", "run lambda losses"])
def test_a_missing_crf_is_refused_before_a_heavy_import(arguments):
    missing = "import sys\nsys.modules['pydensecrf'] = None\n"
    assert loaded_by(missing + verb(arguments)) == set()


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        ("reports", set()),
        ("reports.stored", {"pandas"}),
        ("reports.report", {"pandas"}),
        ("bench.preflight", set()),
        ("bench.probes.record", set()),
        ("bench.cli.session", set()),
        ("bench.store.client", set()),
        ("bench.store.mirror", set()),
        ("bench.spec", set()),
        ("studies.schema", set()),
        ("studies.plan", set()),
        ("studies.imported.write", set()),
        ("studies.schedule", set()),
        ("studies.tuning.search", set()),
        ("studies.tuning.sampler", {"optuna"}),
        ("studies.tuning.tuner", {"optuna"}),
        ("reports.tuning.answer", set()),
        ("postproc", set()),
    ],
)
def test_modules_load_no_more_than_they_need(module, allowed):
    """Planning knows no torch, a report knows no torch and opens MLflow only when it reads."""
    assert loaded_by(f"import {module}") <= allowed


def test_help_lists_every_verb():
    """One line each."""
    out = subprocess.run(
        [sys.executable, "-m", "bench", "--help"], capture_output=True, text=True, check=True,
        env={**os.environ, "COLUMNS": "120"},
    ).stdout  # fmt: skip
    verbs = (
        "validate plan run status logs retry cancel report tune ui data sync import perf list new "
        "publish verify"
    )
    for verb in verbs.split():
        assert f" {verb} " in out
