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


def test_a_shortened_study_is_a_separate_study(segloss, tiny_profile, tmp_path, edit):
    """Its name, the title of its report and its run ids differ from those of the full study.

    The profile is copied from one of another network, and its title still says so.
    """
    study = tmp_path / "one.toml"
    study.write_text(STUDY)
    edit(tiny_profile, "metric", 'title = "Tiny, ResNet-50 DeepLabv3 at 8 x 8"\nmetric')
    ran = segloss("run", study, "--profile", tiny_profile, "--steps", 3)
    assert ran.returncode == 0, ran.stderr
    assert f"{tiny_profile}: title names ResNet-50, but model.backbone = " in ran.stdout
    root = tmp_path / "segloss-out"
    written = [path for path in root.rglob("*") if path.is_file() and "code" not in path.parts]
    assert not [path for path in written if b"ResNet-50" in path.read_bytes()]
    said = (
        "Synthetic: Tiny (trained on 12 images of train, scored on 5 images of test), "
        "test_efficientnet DeepLabv3+, shortened to 3 of 7 steps of batch 4 on crops of 64 x 64"
    )
    assert (root / "reports/one-tiny@3/index.html").read_text().count(f"{said}; one seed.") == 1

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
