"""The run id of every row of every shipped study on every shipped profile, as stored.

A run id names a finished run on disk: where one changes, a finished run is trained again. Run as a
script, this file stores the ids anew.
"""

import json
from pathlib import Path

import pytest

from bench.preflight import resolve_loss
from bench.profile import load_profile
from studies.plan import plan
from studies.schema import load_study

STORED = Path(__file__).parent / "run_ids.json"
ROOT = Path(__file__).parents[2]
STUDIES = sorted(path.stem for path in (ROOT / "studies" / "definitions").glob("*.toml"))
PROFILES = sorted(path.stem for path in (ROOT / "bench" / "profiles").glob("*.toml"))


def run_ids(study, profile):
    """Return the ids of each row, one for each seed of the profile, by the row's label."""
    loaded = load_profile(profile)
    planned = plan(
        load_study(study),
        loaded,
        names=(study, profile),
        seeds=loaded.seeds,
        resolve=resolve_loss,
    )
    return {label: " ".join(row.run_ids) for label, row in planned.manifest.rows.items()}


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("study", STUDIES)
def test_run_ids_are_as_stored(study, profile):
    stored = json.loads(STORED.read_text())
    assert run_ids(study, profile) == stored[f"{study} {profile}"]


if __name__ == "__main__":
    ids = {f"{s} {p}": run_ids(s, p) for s in STUDIES for p in PROFILES}
    STORED.write_text(json.dumps(ids, indent=1, ensure_ascii=False) + "\n")
