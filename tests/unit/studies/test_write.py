"""Values that a search has found, written into a study file."""

import pytest
from tiny import TINY_STUDY

from bench.errors import SpecError
from studies.schema import load_study
from studies.tuning.write import TunedValues, check_target, write_study


def test_found_values_go_into_the_study_with_their_origin(tmp_path):
    """In place of the old value or as a line of their own; comments stay."""
    path = tmp_path / "mine.toml"
    path.write_text("# Mine.\n" + TINY_STUDY)
    values = {"loss.downsample_factor": 3, "loss.lambda_": 0.62, "loss.pooling": "max"}
    found = [
        TunedValues("RMI", values, "tuned", 12),
        TunedValues("CE & CRF", {"crf.theta_alpha": 41.5}, "tuned", 12),
        TunedValues("CE", {"recipe.lr": 0.02}, "tuned", 12),
    ]
    write_study(str(path), path, found)
    methods = load_study(str(path)).methods
    loss = {"name": "rmi", "downsample_factor": 3, "lambda_": 0.62, "pooling": "max"}
    assert methods["RMI"].loss == loss
    assert methods["CE & CRF"].crf == {"steps": (1, 5), "theta_alpha": 41.5}
    assert methods["CE"].recipe == {"lr": 0.02}
    assert [methods[name].trials for name in ("CE", "RMI", "CE & CRF")] == [12, None, None]
    text = path.read_text()
    assert "recipe.lr = 0.02  # tuned\ntrials = 12  # trials behind the values of recipe\n" in text
    assert text.startswith("# Mine.\n")
    assert "loss.lambda_ = 0.62  # tuned\n" in text
    assert text.count("downsample_factor") == 1


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("found.txt", "found.txt: the name of a study file ends in .toml"),
        ("no/found.toml", "found.toml: cannot be written; name a file in"),
        ("found.toml", r"no section \[methods.RMI\] to write into"),
    ],
)
def test_where_values_cannot_be_written_is_known_beforehand(tmp_path, target, message):
    """Not after the search."""
    path = tmp_path / "dotted.toml"
    path.write_text('title = "t"\nmethods.RMI.loss.name = "rmi"\n')
    with pytest.raises(SpecError, match=message):
        check_target(str(path), tmp_path / target, ["RMI"])
