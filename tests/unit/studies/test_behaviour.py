"""Finished runs against the code at hand: what is compared, said, set aside and kept."""

import copy
import itertools
import math
import shutil
from pathlib import Path

import pytest
from made_up import MadeUp
from tiny import TINY_PROFILE

from bench.cli.options import SessionOptions, data_root_of
from bench.cli.report import Builder
from bench.cli.session import admit
from bench.errors import SpecError
from bench.files import read_json, write_json
from bench.runs.rundir import run_dir
from bench.spec import EvaluationSpec
from studies.behaviour import (
    StaleError,
    _differences,
    compare,
    edited_lines,
    edited_text,
    recorded,
    refuse,
    specs_of,
)
from studies.ledger import mark_kept, set_aside
from studies.runs import labels_of

TEXT = {"files": {"losses.rmi": "aaaaaaaaaaaa"}, "packages": {"torch": "2.11"}}


def part(*values, within=1e-6, **text):
    numbers = {"value: at the start": {"within": within, "values": list(values)}}
    return {"text": copy.deepcopy(text.get("text", TEXT)), "numbers": numbers}


def record(**parts):
    usual = {name: part(0.5, 1.0) for name in ("loss", "network", "recipe", "data")}
    return {"form": 1, "parts": usual | parts}


def named(value):
    return {"text": TEXT, "numbers": {"names: train": {"within": 0.0, "values": [value]}}}


@pytest.fixture
def made_up(tmp_path):
    """Every run of CE and RMI at two seeds is finished, with the usual record."""
    made = MadeUp(tmp_path / "root")
    for label in ("CE", "RMI"):
        for seed in (0, 1):
            made.set(label, seed, status="finished")
            write_json(made.dir_of(label, seed).probes, record())
    return made


def compared(made, at_hand):
    return compare(made.root, made.plan.specs, labels_of([made.plan]), lambda spec: at_hand)


def keep(made, at_hand):
    behaviour = compared(made, at_hand)
    mark_kept(made.root, behaviour.compared, behaviour.stale)


def ids(made, label):
    return [made.id_of(label, seed) for seed in (0, 1)]


@pytest.mark.parametrize(
    "content",
    [
        5,
        {},
        {"form": 1},
        {"form": 1, "parts": {"loss": 5}},
        {"form": 1, "parts": {"loss": {"text": {"files": {}}}}},
        {"form": 1, "parts": {"loss": part("x")}},
        {"form": 1, "parts": {"loss": part(1.0, within=None)}},
    ],
)
def test_a_record_of_another_shape_counts_as_missing(tmp_path, content):
    """It came with a stranger's bundle or from a damaged disk; plan and status name such runs."""
    file = tmp_path / "probes.json"
    write_json(file, content)
    assert recorded(file) is None
    write_json(
        file,
        {"form": 1, "parts": {"loss": part(1.0, math.inf), "data": {"text": TEXT, "fault": "x"}}},
    )
    assert recorded(file) == read_json(file)


def test_equal_records_change_nothing(made_up):
    behaviour = compared(made_up, record())
    assert (behaviour.changes, behaviour.edited, behaviour.unprobed) == ((), (), ())
    assert set(behaviour.compared) == {*ids(made_up, "CE"), *ids(made_up, "RMI")}
    assert behaviour.lines == []
    refuse(behaviour)


def test_one_line_for_each_part_and_group_of_runs(made_up):
    """A line names part and loss, what differs and by how much, the files, and the rows."""
    at_hand = record(loss=part(0.5, 1.02, text={**TEXT, "files": {"losses.rmi": "bbbbbbbbbbbb"}}))
    behaviour = compared(made_up, at_hand)
    assert behaviour.lines == [
        "4 finished runs behave differently from the code and the data at hand:",
        "  loss ce: value differs by up to 2 %; changed: losses.rmi (2 runs of CE)",
        "  loss rmi: value differs by up to 2 %; changed: losses.rmi (2 runs of RMI)",
    ]
    assert behaviour.stale == dict.fromkeys([*ids(made_up, "CE"), *ids(made_up, "RMI")], "loss")
    with pytest.raises(StaleError) as error:
        refuse(behaviour)
    for words in ("`version` in the class of ce and rmi", "--again", "--keep-old"):
        assert words in str(error.value)


def test_data_that_cannot_be_read_are_said_to_be_not_compared(made_up):
    """A mask that is gone hides from nobody that the data of finished runs were not compared."""
    gone = {"text": TEXT, "fault": "DataError: b.png: no mask"}
    behaviour = compared(made_up, record(data=gone))
    line = "The data of 4 runs cannot be read, so nothing tells whether they are the same: "
    assert behaviour.lines == [f"{line}DataError: b.png: no mask"]
    assert behaviour.facts == behaviour.lines
    refuse(behaviour)


def test_other_images_are_named_without_a_share(made_up):
    for label, seed in itertools.product(("CE", "RMI"), (0, 1)):
        write_json(made_up.dir_of(label, seed).probes, record(data=named(1.0)))
    (_, change) = compared(made_up, record(data=named(2.0))).lines
    assert change == "  data: names are not those of the finished runs (4 runs of CE, RMI)"


def test_a_version_is_no_way_out_of_another_recipe(made_up):
    with pytest.raises(StaleError) as error:
        refuse(compared(made_up, record(recipe=part(0.5, 2.0), network=part(1.0, 1.0))))
    assert "version" not in str(error.value)
    assert "recipe: value differs by up to 50 %" in str(error.value)
    assert "network: value differs by up to 50 %" in str(error.value)


@pytest.mark.parametrize(
    ("values", "within", "differs"),
    [
        ((0.5, 1.0 + 5e-7), 1e-6, False),
        ((0.5, 1.0 + 5e-6), 1e-6, True),
        ((0.5 + 5e-7, 1.0), 1e-6, False),  # of the largest value of its group
        ((0.5, 1.0, 0.0), 1e-6, True),
        ((math.nan, 1.0), 1e-6, True),
        ((0.5, math.inf), 1e-6, True),
        ((0.5, 1.004), 0.01, False),  # the wider of two shares counts
    ],
)
def test_numbers_may_differ_by_what_another_machine_causes(made_up, values, within, differs):
    behaviour = compared(made_up, record(loss=part(*values, within=within)))
    assert bool(behaviour.stale) == differs


def test_a_nan_that_stays_is_no_difference(made_up):
    same = record(loss=part(math.nan, math.inf))
    write_json(made_up.dir_of("CE").probes, same)
    behaviour = compared(made_up, same)
    assert made_up.id_of("CE") not in behaviour.stale
    assert made_up.id_of("RMI") in behaviour.stale


def test_text_alone_is_said_in_the_report_only(made_up):
    newer = {"files": {"losses.rmi": "aaaaaaaaaaaa"}, "packages": {"torch": "2.12"}}
    behaviour = compared(made_up, record(network=part(0.5, 1.0, text=newer)))
    assert not behaviour.stale
    assert behaviour.lines == []
    assert behaviour.facts == [
        "Edited, and behaves as before: network: changed: torch 2.11 to 2.12 (4 runs of CE, RMI)."
    ]


def test_text_decides_about_a_part_that_cannot_be_tried(made_up):
    fault = {"text": TEXT, "fault": "ValueError: too small"}
    assert not compared(made_up, record(loss=fault)).stale
    newer = {"text": {"files": {}, "packages": {}}, "fault": "ValueError: too small"}
    behaviour = compared(made_up, record(loss=newer))
    assert behaviour.lines[1:] == [
        f"  loss {name}: cannot be tried, so its text decides; "
        f"changed: losses.rmi, torch 2.11 to none (2 runs of {name.upper()})"
        for name in ("ce", "rmi")
    ]
    assert not compared(made_up, record(data=newer)).stale  # its files are not at hand


def test_runs_of_older_versions_count_and_are_said_to_be_unprobed(made_up):
    made_up.dir_of("CE").probes.unlink()
    write_json(made_up.dir_of("RMI").probes, {**record(), "form": 0})
    behaviour = compared(made_up, record(loss=part(9.0, 9.0)))
    assert set(behaviour.unprobed) == {made_up.id_of("CE"), made_up.id_of("RMI")}
    assert set(behaviour.stale) == {made_up.id_of("CE", 1), made_up.id_of("RMI", 1)}
    assert behaviour.lines[-1].startswith("unprobed: 2 finished runs of an older version")
    refuse(compared(made_up, record()))


def test_a_diverged_run_is_compared_and_an_unfinished_one_is_not(made_up):
    """Whoever mends a loss that diverged expects it to be trained again."""
    made_up.set("CE", 0, status="diverged")
    made_up.set("CE", 1, status="interrupted")
    behaviour = compared(made_up, record(loss=part(9.0, 9.0)))
    assert set(behaviour.stale) == {made_up.id_of("CE", 0), *ids(made_up, "RMI")}


def test_an_evaluation_is_compared_by_the_training_that_it_scores(tmp_path):
    made = MadeUp(tmp_path / "root", flip=True)
    evaluation = made.dir_of("CE")
    made.set("CE", status="finished")
    write_json(evaluation.probes, record())
    asked = []
    compare(made.root, made.plan.specs, {}, lambda spec: asked.append(spec) or record())
    assert [spec.evaluation for spec in asked] == [EvaluationSpec()]
    stale = compared(made, record(loss=part(9.0, 9.0))).stale
    assert list(stale) == [evaluation.run_id]


def test_an_evaluation_of_a_training_that_diverged_goes_with_it(tmp_path):
    """It never ran, so it has no record of its own."""
    made = MadeUp(tmp_path / "root", flip=True)
    write_json(made.training_of("CE").probes, record())
    made.training_of("CE").write_state(status="diverged")
    made.set("CE", status="diverged")
    stale = compared(made, record(loss=part(9.0, 9.0))).stale
    assert set(stale) == {made.training_of("CE").run_id, made.id_of("CE")}


def test_again_moves_the_results_away_whole(made_up):
    before = {p.name for p in made_up.dir_of("RMI").path.iterdir()}
    folder = set_aside(made_up.root, ids(made_up, "RMI"))
    assert folder.parent == made_up.root / "replaced"
    assert {p.name for p in folder.iterdir()} == set(ids(made_up, "RMI"))
    assert {p.name for p in (folder / made_up.id_of("RMI")).iterdir()} == before
    assert not made_up.dir_of("RMI").path.exists()
    assert made_up.dir_of("CE").has_result()


def test_a_kill_between_two_moves_leaves_each_run_in_one_place(made_up, monkeypatch):
    """The same command sets the rest aside."""
    plain, count = Path.rename, itertools.count()

    def killed(self, target):
        if next(count):
            raise KeyboardInterrupt
        return plain(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            set_aside(made_up.root, ids(made_up, "RMI"))
    assert not made_up.dir_of("RMI", 0).path.exists()
    assert made_up.dir_of("RMI", 1).has_result()
    stale = compared(made_up, record(loss=part(9.0, 9.0))).stale
    set_aside(made_up.root, stale)
    moved = {path.name for path in made_up.root.glob("replaced/*/*")}
    assert moved == {*ids(made_up, "CE"), *ids(made_up, "RMI")}


def test_a_kept_run_is_marked_until_the_code_is_back(made_up):
    before = made_up.dir_of("RMI").state()
    keep(made_up, record(loss=part(9.0, 9.0)))
    marked = made_up.dir_of("RMI").state()
    assert marked == before.model_copy(update={"kept": "loss"})
    keep(made_up, record())
    assert made_up.dir_of("RMI").state() == before


def test_text_is_compared_without_trying_anything(made_up):
    assert edited_text(made_up.root, ids(made_up, "RMI")) == {
        "losses.rmi": ids(made_up, "RMI"),
        "torch": ids(made_up, "RMI"),
    }
    assert set(specs_of(made_up.root, made_up.plan.specs)) == {
        *ids(made_up, "CE"),
        *ids(made_up, "RMI"),
    }
    shutil.rmtree(made_up.dir_of("CE").path)
    assert edited_text(made_up.root, ids(made_up, "CE")[:1]) == {}


class OtherLoss:
    """Records of code with another loss."""

    def __init__(self, *arguments, **options):
        pass

    def record(self, spec):
        return record(loss=part(9.0, 9.0))


@pytest.mark.parametrize("options", [{}, {"again": True}, {"keep_old": True}, {"both": True}])
def test_the_options_of_run_and_tune(made_up, monkeypatch, capsys, options):
    """Without one the command stops; the other two do what they say, and say where it went."""
    monkeypatch.setattr("bench.cli.session.Prober", OtherLoss)
    given = {"again": True, "keep_old": True} if "both" in options else options
    arguments = (made_up.root, made_up.plan.specs, labels_of([made_up.plan]))
    before = {d: read_json(made_up.dir_of(*d).path / "state.json") for d in (("CE",), ("RMI",))}

    def admitted():
        return admit(*arguments, SessionOptions(**given), None)

    if not options or "both" in options:
        with pytest.raises(StaleError if not options else SpecError):
            admitted()
        after = {d: read_json(made_up.dir_of(*d).path / "state.json") for d in before}
        assert after == before
        return
    behaviour = admitted()
    printed = capsys.readouterr().out
    assert "4 finished runs behave differently" in printed
    if "again" in options:
        assert not behaviour.stale
        assert f"their results were moved to {made_up.root}/replaced" in printed
        assert not made_up.dir_of("RMI").path.exists()
        assert admitted() is None
    else:
        assert set(behaviour.stale) == {*ids(made_up, "CE"), *ids(made_up, "RMI")}
        assert made_up.dir_of("RMI").state().kept == "loss"
        assert made_up.dir_of("RMI").has_result()


def test_status_says_which_text_has_changed_without_trying_it(made_up):
    """It names kept and unprobed runs, too."""
    made_up.dir_of("CE").probes.unlink()
    keep(made_up, record(loss=part(9.0, 9.0)))
    states = {run_id: run_dir(made_up.root, run_id).state() for run_id in made_up.plan.specs}
    assert edited_lines(made_up.root, states) == [
        "  changed since 3 runs ended: losses.rmi",
        "  changed since 3 runs ended: torch",
        "  segloss plan says whether these runs would still behave the same",
        "  3 runs of other code kept with --keep-old",
        "  1 run unprobed: made by an older version",
    ]


def test_a_report_tries_the_code_only_where_its_text_has_changed(made_up, monkeypatch, tmp_path):
    """Without an edit it needs no torch; without the run directories it says so."""
    monkeypatch.setattr("bench.probes.record.Prober", OtherLoss)
    builder = Builder(made_up.root, None, "losses", "scenes-demo")
    assert set(builder.compare().stale) == {*ids(made_up, "CE"), *ids(made_up, "RMI")}
    same = record()
    for part in same["parts"].values():
        part["text"] = {"files": {}, "packages": {}}
    for label in ("CE", "RMI"):
        for seed in (0, 1):
            write_json(made_up.dir_of(label, seed).probes, same)
    assert builder.compare().lines == builder.compare().facts == []
    elsewhere = Builder(tmp_path / "other", None, "losses", "scenes-demo")
    assert "Not compared with the code at hand" in elsewhere.compare().facts[0]


def test_a_report_finds_the_data_by_the_profile_or_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("SEGLOSS_DATA_ROOT", str(tmp_path / "shared"))
    (tmp_path / "own.toml").write_text(TINY_PROFILE)
    assert data_root_of(str(tmp_path / "own.toml")) == tmp_path / "shared"
    (tmp_path / "own.toml").write_text(f'data_root = "eyes"\n{TINY_PROFILE}')
    assert data_root_of(str(tmp_path / "own.toml")) == tmp_path / "eyes"
    assert data_root_of(str(tmp_path / "deleted.toml")) == tmp_path / "shared"
    monkeypatch.delenv("SEGLOSS_DATA_ROOT")
    assert data_root_of(str(tmp_path / "deleted.toml")) is None


def test_parts_are_named_in_one_order_in_every_process():
    """A report whose sentences came in another order would be drawn again."""
    text = {"files": {"a": "1"}, "packages": {}}
    then = {part: {"text": text} for part in ("recipe", "loss", "network", "data")}
    now = {part: {"text": {"files": {"a": "2"}, "packages": {}}} for part in then}
    assert [part for part, *_ in _differences(then, now)] == ["loss", "network", "recipe"]
