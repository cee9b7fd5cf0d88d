"""The verb tune before its session: what it refuses."""

import pytest
from tiny import TINY_PROFILE, TINY_STUDY

from bench.cli import session
from bench.cli.tune import TuneOptions
from bench.cli.tuning import run_tuning
from bench.files import write_json
from bench.profile import load_profile
from bench.runs.rundir import all_run_dirs, run_dir
from studies.behaviour import StaleError
from studies.schema import load_study


def test_trials_of_other_code_are_refused_before_anything_is_proposed(tmp_path, monkeypatch):
    """Their scores would lead the search; neither Optuna's copy nor a run is touched."""
    (tmp_path / "tiny.toml").write_text(TINY_PROFILE)
    (tmp_path / "study.toml").write_text(TINY_STUDY.replace("low = 0.0", "low = 0.1"))
    study, root = tmp_path / "study.toml", tmp_path / "out"
    options = TuneOptions(profile=str(tmp_path / "tiny.toml"), root=root, trials=2)
    inputs = str(study), load_study(str(study)), load_profile(options.profile)
    values = {"now": 1.0}

    class Recorded:
        def __init__(self, *arguments, **settings):
            pass

        def record(self, spec):
            numbers = {"value": {"within": 1e-6, "values": [values["now"]]}}
            text = {"files": {}, "packages": {}}
            return {"form": 1, "parts": {"loss": {"text": text, "numbers": numbers}}}

    def finish(self, plans, source=None):
        for run_id, spec in plans[0].specs.items():
            run_dir(root, run_id).create(spec)
            write_json(run_dir(root, run_id).probes, Recorded().record(spec))
            write_json(run_dir(root, run_id).result_file, {"metrics": {"miou": 0.5}})
            run_dir(root, run_id).write_state(status="finished")
        return 0

    monkeypatch.setattr(session, "Prober", Recorded)
    monkeypatch.setattr(session.Session, "run", finish)
    monkeypatch.setattr("bench.cli.tuning.report_all", lambda *arguments: None)
    assert run_tuning(*inputs, options) == 0
    assert run_tuning(*inputs, options) == 0
    states = {d.run_id: d.state() for d in all_run_dirs(root)}
    assert len(states) == 2
    copy = (root / "optuna.db").read_bytes()
    values["now"] = 1.1
    with pytest.raises(StaleError, match="loss rmi"):
        run_tuning(*inputs, options)
    assert {d.run_id: d.state() for d in all_run_dirs(root)} == states
    assert (root / "optuna.db").read_bytes() == copy
