"""A finished study whose code is edited: plan and run say what behaves differently, no more."""

import pytest
from checkout import Checkout

from bench.runs.rundir import all_run_dirs

HEAD = "bench/models/deeplab.py"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A root that the code as it is has finished."""
    folder = tmp_path_factory.mktemp("finished")
    Checkout(folder / "code").finish(folder / "out")
    return folder / "out"


@pytest.fixture
def checkout(tmp_path):
    return Checkout(tmp_path / "code")


@pytest.mark.parametrize(
    ("part", "edit"),
    [
        ("loss dice", ("losses/dice.py", "2 * overlap", "1.9 * overlap")),
        ("loss rmi", ("losses/region/term.py", "ridge * eye", "1e4 * ridge * eye")),
        ("loss own", ("plugin/own_loss.py", '{"own": ', '{"own": 1.001 * ')),
        ("loss own", ("plugin/own_helpers.py", "1 - ", "1.1 - ")),
        ("loss own", ("plugin/site-packages/own_library/__init__.py", "2 -", "3 -")),
        ("recipe", ("bench/data/augmentation.py", "turn < 0.5", "turn < 0.2")),
        ("network", (HEAD, "        head = HEADS", "        torch.rand(1)\n        head = HEADS")),
    ],
    ids=["loss", "helper", "plug-in", "plug-in's helper", "package", "augmentation", "head"],
)
def test_what_behaves_differently_is_said_and_not_taken(checkout, finished, part, edit):
    """A loss, a helper, a plug-in, an installed package, the head's weights, the augmentation."""
    before = {d.run_id: d.state() for d in all_run_dirs(finished)}
    checkout.edit(*edit)
    planned = checkout.segloss("plan", finished)
    assert planned.returncode == 0, planned.stderr
    said = planned.stdout.partition("differently from the code and the data at hand:\n")[2]
    assert [line.partition(":")[0] for line in said.splitlines()] == [f"  {part}"]
    ran = checkout.segloss("run", finished)
    assert ran.returncode == 2
    assert said in ran.stderr
    assert "--again" in ran.stderr
    assert "--keep-old" in ran.stderr
    assert ("raise `version`" in ran.stderr) == part.startswith("loss")
    assert {d.run_id: d.state() for d in all_run_dirs(finished)} == before


def test_what_behaves_as_before_costs_no_run(checkout, finished):
    """A renamed variable, a moved file, an edited report."""
    checkout.edit("losses/dice.py", "overlap", "common")
    checkout.edit("losses/__init__.py", "losses.rmi", "losses.mutual_information")
    (checkout.folder / "losses/rmi.py").rename(checkout.folder / "losses/mutual_information.py")
    checkout.edit("bench/models/deeplab.py", "spec.head_channels", "spec.head_channels + 0")
    checkout.edit("reports/wording.py", '"""', '"""A new sentence. ')
    planned = checkout.segloss("plan", finished)
    assert planned.returncode == 0, planned.stderr
    assert "3 of 3 runs are finished" in planned.stdout
    assert "differently" not in planned.stdout
