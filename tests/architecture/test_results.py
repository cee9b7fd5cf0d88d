"""The bundles in docs/results are what was published, and small."""

from pathlib import Path

import pytest

from reports.bundle.read import open_bundle
from reports.bundle.verify import record_faults, verify

RESULTS = Path(__file__).parents[2] / "docs/results"
BUNDLES = sorted(path.parent for path in RESULTS.glob("*/bundle.json"))
MOST_BYTES = 15_000_000


@pytest.mark.parametrize("folder", BUNDLES, ids=lambda folder: folder.name)
def test_the_numbers_of_a_bundle_follow_from_its_counts(folder):
    assert record_faults(open_bundle(folder)) == ([], [])


@pytest.mark.long
@pytest.mark.parametrize("folder", BUNDLES, ids=lambda folder: folder.name)
def test_the_report_of_a_bundle_follows_from_its_runs(folder):
    assert "runs verified" in verify(folder)


def test_every_bundle_is_named_on_a_page():
    pages = "".join(page.read_text() for page in RESULTS.glob("*.md"))
    assert BUNDLES
    assert [folder.name for folder in BUNDLES if f"docs/results/{folder.name}`" not in pages] == []


def test_the_results_stay_small():
    sizes = (path.stat().st_size for path in RESULTS.rglob("*") if path.is_file())
    assert sum(sizes) <= MOST_BYTES
