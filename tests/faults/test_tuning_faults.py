"""Tuning under kill -9, on a tiny profile; tuning_storm.py is the same on any profile."""

import json

import pytest
import tuning_storm
from tiny import TINY_PROFILE

pytestmark = pytest.mark.long


def test_a_killed_tuning_ends_as_one_that_was_not(tmp_path):
    """Scheduler and workers at once: no trial is lost, none is made twice."""
    profile = tmp_path / "tiny.toml"
    profile.write_text(TINY_PROFILE.replace("steps = 7", "steps = 40"))
    command = tuning_storm.command_of(str(profile), 6)
    calm, killed, kills = tuning_storm.rage(tmp_path, command, 1, seed=0, seconds=2.0)
    assert json.dumps(killed) == json.dumps(calm)
    assert kills == 1
    assert [trial[0] for trial in killed["optuna"]] == ["COMPLETE"] * 6
    assert len(set(killed["trials"])) == len(killed["runs"]) == 6
