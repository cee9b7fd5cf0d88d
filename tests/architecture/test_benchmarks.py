"""The benchmarks of tests/perf start: some run at their smallest, the others print their help."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

TESTS = Path(__file__).parents[1]
SMALLEST = {
    "big_store": ["--runs", "20"],
    "evaluation_image": [],
    "tuning_regret": ["--repetitions", "1", "--trials", "3"],
}


@pytest.mark.parametrize("name", sorted(path.stem for path in TESTS.glob("perf/*.py")))
def test_a_benchmark_starts(name, tmp_path):
    arguments = SMALLEST.get(name, ["--help"])
    done = subprocess.run(
        [sys.executable, TESTS / "perf" / f"{name}.py", *arguments],
        env={**os.environ, "PYTHONPATH": str(TESTS / "fixtures")},
        cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout
