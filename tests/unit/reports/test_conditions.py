"""Settings and environment in words."""

import pandas as pd
import pytest

from bench.manifest import Manifest, Row, TableSpec
from reports.environment import environment_words, environments, work
from reports.render.conditions import fixed_settings, setting_words

FACTS = {
    "python": "3.11.7",
    "packages": {"torch": "2.15.0", "timm": None},
    "machine": "x86_64 AVX2",
    "device": "cpu",
    "threads": 1,
}


@pytest.mark.parametrize(
    ("name", "value", "printed"),
    [
        ("crop_size", "96 x 128", "96 × 128"),
        ("image_size", "96 x 128", "96 × 128"),
        ("scale", "0.75 x 1.25", "0.75 to 1.25"),
        ("atrous_rates", "2 x 4 x 6", "2, 4, 6"),
        ("mean", "115.5 x 41.8 x 7.1", "115.5, 41.8, 7.1"),
        ("classes", "sky, building x", "sky, building x"),
    ],
)
def test_lists_are_not_written_as_products(name, value, printed):
    assert setting_words(name, value) == printed


def test_options_that_are_off_are_not_listed():
    settings = {
        "data.name": "voc",
        "data.held_out_share": 0.0,
        "recipe.steps": 10,
        "recipe.compile": False,
        "recipe.accumulate": 1,
        "recipe.scale_step": None,
        "evaluation.scales": "1.0",
    }
    row = Row(label="CE", method="CE", settings={}, run_ids=("a",))
    manifest = Manifest(
        study="s",
        profile="p",
        title="T",
        scale="toy",
        metric="miou",
        seeds=(0,),
        comparison_key="k",
        settings=settings,
        tables=(TableSpec(key="1", title="T", columns=("miou",), rows=(row,)),),
    )
    assert fixed_settings(manifest) == {"data": [("name", "voc")], "recipe": [("steps", "10")]}


def test_an_environment_names_versions_device_and_threads():
    said = environment_words(FACTS)
    assert said == "Python 3.11.7, torch 2.15.0; 1 thread on the CPU (x86_64 AVX2)"
    gpu = environment_words({**FACTS, "device": "NVIDIA H200", "threads": 4})
    assert gpu.endswith("4 threads on NVIDIA H200 (x86_64 AVX2)")


def frame() -> pd.DataFrame:
    day = 86_400
    lines = [
        ("a", "train", "finished", day * 20_000, 3600.0, 360.0, "e1"),
        ("b", "train", "diverged", day * 20_001, 1800.0, 0.0, "e2"),
        ("c", "evaluate", "finished", day * 20_002, 3600.0, 1440.0, "e1"),
        ("c", "evaluate", "finished", day * 20_002, 3600.0, 1440.0, "e1"),
        ("d", "train", "failed", day * 20_009, 9000.0, 0.0, "e3"),
    ]
    keys = ("run_id", "role", "status", "updated", "cost/train_s", "cost/evaluate_s", "digest/env")
    return pd.DataFrame([dict(zip(keys, line, strict=True)) for line in lines])


def test_work_counts_each_run_once_and_a_shared_training_once():
    said = work(frame())
    assert said.startswith("3 runs, ended from 4 Oct 2024 to 6 Oct 2024.")
    assert "took 2.0 hours" in said
    assert work(frame().iloc[4:]) == ""


def test_each_environment_has_its_number_of_runs():
    found = environments({"e1": FACTS, "e2": {**FACTS, "threads": 2}}, frame())
    assert [(made.digest, made.runs) for made in found] == [("e1", 2), ("e2", 1)]
