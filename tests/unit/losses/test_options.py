"""Options that may be None, lists and tuples: how a study gives them, and the lines that refuse."""

from collections.abc import Sequence
from typing import Literal, Optional

import pytest
import torch
from tiny import TINY_PROFILE

import losses
from bench.errors import SpecError
from bench.preflight import resolve_loss
from bench.profile import load_profile
from losses import CrossEntropyLoss, build_loss, check_options, loss_from, option_choices
from studies.plan import plan
from studies.schema import load_study


class OptionalLoss(CrossEntropyLoss):
    """Keeps one of its options."""

    def __init__(
        self,
        *,
        alpha: float | None = None,
        weights: list[float] | None = None,
        scales: tuple[float, ...] = (1.0, 0.5),
        window: tuple[int, int] = (3, 3),
        kinds: Sequence[str] = (),
        norm: Optional[Literal["l1", "l2"]] = None,  # noqa: UP045 (as older packages write it)
        tensor: torch.Tensor | None = None,
        ignore_index: int = 255,
    ) -> None:
        super().__init__(ignore_index=ignore_index)
        self.listed = weights


@pytest.fixture(autouse=True)
def optional(monkeypatch):
    monkeypatch.setattr(losses, "LOSSES", {**losses.LOSSES, "optional": OptionalLoss})


@pytest.fixture
def planned(tmp_path):
    def make(options):
        (tmp_path / "tiny.toml").write_text(TINY_PROFILE)
        text = f'title = "t"\n[methods.M]\nloss.name = "optional"\n{options}\n'
        text += '[tables.1]\ntitle = "t"\nrows = ["M"]\ncolumns = ["loss.alpha", "loss.weights"]'
        (tmp_path / "study.toml").write_text(text)
        study, profile = (f(str(tmp_path / n)) for f, n in READ)
        return plan(study, profile, names=("study", "tiny"), seeds=1, resolve=resolve_loss)

    return make


READ = ((load_study, "study.toml"), (load_profile, "tiny.toml"))


def test_none_and_lists_are_settings(planned):
    """None shows as "none", a list as its values; a list of lists gives a row for each."""
    made = planned('loss.weights = [[0.1, 0.9], "none", [1, 2, 3]]')
    rows = made.manifest.tables[0].rows
    assert {row.settings["loss.alpha"] for row in rows} == {"none"}
    assert [row.settings["loss.weights"] for row in rows] == ["0.1, 0.9", "none", "1.0, 2.0, 3.0"]
    assert rows[0].settings["loss.scales"] == "1.0, 0.5"
    specs = [made.specs[row.run_ids[0]].loss for row in rows]
    assert [spec.options for spec in specs] == [
        {"weights": (0.1, 0.9)},
        {},
        {"weights": (1.0, 2.0, 3.0)},
    ]
    assert loss_from(specs[0]).listed == [0.1, 0.9]


def test_a_value_comes_in_the_declared_type():
    given = {"alpha": 1, "scales": (1, 2), "window": (5, 7)}
    assert check_options("optional", given) == {
        "alpha": 1.0,
        "scales": (1.0, 2.0),
        "window": (5, 7),
    }
    assert check_options("optional", {"scales": (1, 0.5), "alpha": "none"}) == {}
    assert build_loss("optional", weights=(1, 2)).listed == [1.0, 2.0]
    assert option_choices("optional") == {"norm": ("l1", "l2")}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ('loss.alpha = "a"', r"option alpha .* must be of type float or \"none\", got 'a'"),
        ("loss.alpha = true", r"option alpha .* must be of type float or \"none\", got True"),
        ("loss.weights = 0.5", r"option weights .* must be a list of float or \"none\", got 0.5"),
        ('loss.weights = [["a"]]', r"option weights .* must be a list of float or \"none\""),
        ("loss.window = [[1, 2, 3]]", r"option window .* must be a list of 2 int, got '1, 2, 3'"),
        ("loss.kinds = [[1]]", r"option kinds .* must be a list of str"),
        ('loss.norm = "l3"', r"option norm .* must be one of 'l1', 'l2' or \"none\", got 'l3'"),
        ("loss.tensor = 1.0", r"option tensor .* has a type that a study cannot set: use bool"),
        ("loss.weights = [[[1.0]]]", r"methods.M.loss.weights"),
        ("loss.weights = []", r"weights = \[\]: the list is empty"),
    ],
)
def test_the_line_names_option_and_value(planned, options, message):
    with pytest.raises(SpecError, match=message) as error:
        planned(options)
    assert "\n" not in str(error.value)
