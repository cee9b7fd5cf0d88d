"""A shortened schedule: named in every title, and never in one table with the full schedule."""

import json

from bench.preflight import resolve_loss
from bench.profile import load_profile
from studies.plan import plan
from studies.schema import load_study

STUDY = """
title = "One method"
[methods.CE]
loss.name = "ce"
[tables.1]
title = "One method"
rows = ["CE"]
columns = ["miou"]
"""


def test_a_shortened_study_is_a_separate_study(segloss, tiny_profile, tmp_path):
    """Its name, the title of its report and its run ids differ from those of the full study."""
    study = tmp_path / "one.toml"
    study.write_text(STUDY)
    ran = segloss("run", study, "--profile", tiny_profile, "--steps", 3)
    assert ran.returncode == 0, ran.stderr
    page = tmp_path / "segloss-out" / "reports" / "one-tiny@3" / "index.html"
    assert "shortened to 3 of 7 steps" in page.read_text()

    manifest = json.loads((tmp_path / "segloss-out/studies/one-tiny@3.json").read_text())
    full = plan(
        load_study(str(study)),
        load_profile(str(tiny_profile)),
        names=("one", "tiny"),
        seeds=1,
        resolve=resolve_loss,
    ).manifest
    assert full.comparison_key != manifest["comparison_key"]
    assert not set(full.rows["CE"].run_ids) & set(manifest["tables"][0]["rows"][0]["run_ids"])
