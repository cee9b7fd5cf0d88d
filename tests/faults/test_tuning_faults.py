"""Tuning under kill -9, on a tiny profile; tuning_storm.py does the same on any profile."""

import json

import pytest
import tuning_storm
from tiny import TINY_PROFILE

pytestmark = pytest.mark.long


def test_a_killed_tuning_ends_like_an_undisturbed_one(tmp_path):
    """Scheduler and workers are killed at once; no trial is lost and none is repeated."""
    profile = tmp_path / "tiny.toml"
    profile.write_text(TINY_PROFILE.replace("steps = 7", "steps = 40"))
    command = tuning_storm.command_of(str(profile), 6)
    calm, killed, kills = tuning_storm.run_storm(tmp_path, command, 1, seed=0, seconds=2.0)
    assert json.dumps(killed) == json.dumps(calm)
    assert kills == 1
    assert [trial[0] for trial in killed["optuna"]] == ["COMPLETE"] * 6
    assert len(set(killed["trials"])) == len(killed["runs"]) == 6
