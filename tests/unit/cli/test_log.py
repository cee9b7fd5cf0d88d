"""Finding runs by name, and printing the last lines of their logs."""

import pytest
from made_up import MadeUp

from bench.cli.views.log import log_of, print_log, tail
from bench.errors import SpecError
from bench.manifest import remember
from bench.runs.rundir import own_lease
from studies.runs import find_run, run_names


@pytest.fixture
def made_up(tmp_path):
    return MadeUp(tmp_path / "root")


def test_a_run_is_found_by_id_start_of_the_id_or_row(made_up):
    """Case is ignored; a row with several seeds needs a seed."""
    runs = run_names(made_up.root)
    rmi = made_up.id_of("RMI", 1)
    assert find_run(runs, rmi).run_id == rmi
    assert find_run(runs, rmi[:9]).run_id == rmi
    assert find_run(runs, "RMI", 1).run_id == find_run(runs, "rmi", 1).run_id == rmi
    assert str(find_run(runs, rmi)) == "RMI, seed 1"


def test_a_run_that_rows_share_is_found_by_each_of_them(made_up):
    """The order of the studies does not matter."""
    again = made_up.plan.manifest.model_copy(
        update={"study": "another", "tables": (relabelled(made_up.plan.manifest.tables[0]),)}
    )
    remember(made_up.root, again)
    runs = run_names(made_up.root)
    assert find_run(runs, "RMI", 1) == find_run(runs, "RMI again", 1)


def relabelled(table):
    rows = [row.model_copy(update={"label": f"{row.label} again"}) for row in table.rows]
    return table.model_copy(update={"rows": tuple(rows)})


@pytest.mark.parametrize(
    ("text", "seed", "words"),
    [
        ("RMI", None, "'RMI' names 2 runs: RMI, seed 0 .*Give --seed"),
        ("RMI", 7, "RMI has no seed 7; it has 0, 1"),
        ("bcee", None, "did you mean 'BCE'"),
        ("Afinity", None, "did you mean 'Affinity'"),
        ("../../etc", None, "unknown run '../../etc'; rows are CE, BCE"),
        ("", None, "unknown run ''"),
        ("\x00[red]{}%s", 3, "unknown run"),
    ],
)
def test_a_name_of_no_run_or_of_several_is_refused_in_one_line(made_up, text, seed, words):
    """The message says how to name one run."""
    with pytest.raises(SpecError, match=words) as error:
        find_run(run_names(made_up.root), text, seed)
    assert "\n" not in str(error.value)


def test_a_training_of_no_row_has_a_name_too(made_up):
    """Its name is that of its loss."""
    named = run_names(made_up.root)
    (made_up.root / "studies" / "losses-scenes-demo.json").rename(made_up.root / "kept")
    rows = made_up.plan.manifest.tables[0].rows
    tables = (made_up.plan.manifest.tables[0].model_copy(update={"rows": rows[1:]}),)
    remember(made_up.root, made_up.plan.manifest.model_copy(update={"tables": tables}))
    assert rows[0].label == "CE"
    found = run_names(made_up.root)
    assert found.keys() == named.keys()
    assert str(found[made_up.id_of("CE")]) == "ce, seed 0"


@pytest.mark.parametrize("size", [0, 1, 3, 10, 200_000])
@pytest.mark.parametrize("lines", [0, 1, 5, 10**6])
def test_the_tail_is_the_last_lines(tmp_path, size, lines):
    """This holds for every length of the file."""
    path = tmp_path / "log.txt"
    text = [f"line {i} é\n".encode() for i in range(size)] + [b"\xff torn"]
    path.write_bytes(b"".join(text))
    assert tail(path, lines) == (b"".join(text[max(0, len(text) - lines) :]), path.stat().st_size)


@pytest.mark.parametrize("flip", [False, True])
def test_the_log_of_a_pass_is_in_its_first_run(tmp_path, flip):
    """All step counts of a CRF share the log; other seeds and rows without a CRF do not."""
    made_up = MadeUp(tmp_path / "root", flip=flip)
    log = made_up.dir_of("CE & CRF-1").log
    log.write_text("pass\n")
    assert log_of(made_up.root, made_up.id_of("CE & CRF-10")) == log
    assert log_of(made_up.root, made_up.id_of("CE & CRF-10", 1)) is None
    assert log_of(made_up.root, made_up.id_of("CE")) is None


def test_a_run_that_was_not_started_has_no_log_yet(made_up, capfd):
    """Without a session, --follow does not wait for it."""
    run = find_run(run_names(made_up.root), "RMI", 0)
    print_log(made_up.root, run, lines=5, follow=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "has no log yet: it is queued" in err


def test_following_ends_with_the_run_and_misses_nothing(made_up, capfd, monkeypatch):
    """The last line is written after the run was last seen running, and is still printed."""
    log = made_up.dir_of("RMI").log
    log.write_text("one\ntwo\n")
    made_up.set("RMI", status="running", lease=own_lease())

    def end(_):
        log.write_text("one\ntwo\nthree\n")
        made_up.set("RMI", status="finished")

    monkeypatch.setattr("bench.cli.views.log.time.sleep", end)
    run = find_run(run_names(made_up.root), "RMI", 0)
    print_log(made_up.root, run, lines=1, follow=True)
    out, err = capfd.readouterr()
    assert out == "two\nthree\n"
    assert str(log) in err
