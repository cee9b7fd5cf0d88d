"""A bundle with one number changed is refused with the number's name."""

import gzip
import json
import re
import subprocess
import sys
from itertools import takewhile
from pathlib import Path

import pytest
from published import edit_json

from bench.data.registry import open_dataset
from bench.data_spec import DataSpec
from reports.bundle.files import BundleError, json_text, sealed
from reports.bundle.read import open_bundle
from reports.bundle.run import DEPTH
from reports.bundle.texts import texts_of
from reports.bundle.verify import THIN, _agree, _text_faults, record_faults, verify
from reports.bundle.write import made_by


def test_a_sound_bundle_is_verified(published):
    """Numpy alone counts the same scores as the code that trained."""
    words = verify(published / "bundle")
    assert words == f"{published / 'bundle'}: 8 of 8 runs verified"


def first_run(bundle: Path) -> Path:
    return sorted((bundle / "runs").iterdir())[0]


def faults(bundle: Path) -> list[str]:
    return record_faults(open_bundle(bundle))[0]


def numbers(value, names=()):
    """The path of every number of JSON-shaped data, by the keys that lead to it."""
    if isinstance(value, dict | list):
        inner = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in inner:
            yield from numbers(item, (*names, key))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield names


def test_every_number_of_a_run_is_refused_by_its_name(bundle):
    """Each in turn, one digit at a time."""
    path = first_run(bundle)
    whole = path.read_text()
    data = json.loads(whole)
    found = list(numbers({k: v for k, v in data.items() if k not in ("seals", "schema")}))
    assert len(found) > 60
    for names in found:
        value = data
        for name in names:
            value = value[name]
        edit_json(path, list(names), value + 1)
        # A list has one name, and so has everything deeper than DEPTH.
        shown = list(takewhile(lambda name: isinstance(name, str), names[:DEPTH]))
        message = "\n".join(faults(bundle))
        assert re.search(rf"runs/{path.name}: {re.escape('.'.join(shown))} (was|is) ", message), (
            message
        )
        path.write_text(whole)
    assert faults(bundle) == []


def test_a_score_is_named_with_what_its_counts_give(bundle):
    """Even where whoever changed it has sealed it again."""
    path = first_run(bundle)
    data = json.loads(path.read_text())
    del data["seals"], data["schema"]
    was = data["result"]["metrics"]["miou"]
    data["result"]["metrics"]["miou"] = was + 0.01
    path.write_text(json_text(sealed(data, DEPTH), DEPTH))
    name = f"runs/{path.name}"
    assert faults(bundle) == [f"{name}: result.metrics.miou is {was + 0.01}, its counts give {was}"]


def test_a_count_is_named_by_its_image(bundle):
    """The check of its line no longer matches."""
    path = sorted((bundle / "counts").iterdir())[0]
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    line = json.loads(lines[2])
    line["pixels"]["0"][0] += 1
    lines[2] = json.dumps(line)
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    (fault,) = faults(bundle)
    assert fault == (
        f"counts/{path.name}, line 3: the counts of 'image 2' are not those of its check"
    )


def test_every_number_of_the_manifest_is_refused_by_its_name(bundle):
    """Each fixed setting, and the settings of each row."""
    path = bundle / "bundle.json"
    whole = path.read_text()
    data = json.loads(whole)
    for names in numbers({"manifest": data["manifest"]}):
        value = data
        for name in names:
            value = value[name]
        edit_json(path, list(names), value + 1)
        name = ".".join(map(str, names if names[-2] != "seeds" else names[:-1]))
        assert any(f"bundle.json: {name}" in fault for fault in faults(bundle)), names
        path.write_text(whole)


def test_a_setting_that_the_runs_do_not_have_is_refused(bundle):
    """A seal can be made again; the id of a run is the digest of all its settings."""
    path = bundle / "bundle.json"
    data = json.loads(path.read_text())
    data["manifest"]["settings"]["recipe.steps"] = 7000
    del data["seals"], data["schema"]
    path.write_text(json_text(sealed(data, 9), 5))
    assert f"runs/{first_run(bundle).name}: spec gives recipe.steps 7, bundle.json says 7000" in (
        faults(bundle)
    )


@pytest.fixture(scope="module")
def texts(published):
    return texts_of(published / "bundle")


@pytest.mark.parametrize(
    "name",
    ["report/tables.csv", "report/tables.json", "report/tables.md", "report/index.html",
     "README.md", ".zenodo.json"],
)  # fmt: skip
def test_a_number_of_a_text_is_refused_with_its_line(bundle, texts, name):
    """Also one that stands in words."""
    path = bundle / name
    text = path.read_text()
    at = max(text.rindex(digit) for digit in "0123456789" if digit in text)
    other = "5" if text[at] == "4" else "4"
    path.write_text(text[:at] + other + text[at + 1 :])
    (fault, *others) = _text_faults(open_bundle(bundle), texts)
    assert fault.startswith(f"{name}, line {text[:at].count(chr(10)) + 1}: ")
    if name != ".zenodo.json":  # CITATION.cff follows from it
        assert others == []


def test_texts_of_another_version_are_named_and_not_refused(bundle, texts, monkeypatch):
    """A later version of segloss may write another sentence about the same numbers."""
    monkeypatch.setattr("reports.bundle.verify.made_by", lambda: {"code": "another"})
    other = {**texts, "README.md": texts["README.md"] + "\nmore\n"}
    assert list(_text_faults(open_bundle(bundle), other)) == []
    monkeypatch.undo()
    (fault,) = _text_faults(open_bundle(bundle), other)
    assert fault.startswith("README.md, line ")


def test_every_process_of_a_version_has_the_same_digest_of_its_code():
    """Else `segloss verify` would take each bundle for that of another version."""
    code = "import losses.dice; from reports.bundle.write import made_by; print(made_by()['code'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == made_by()["code"]


def test_files_that_no_row_names_are_refused(bundle):
    """Nobody would verify them."""
    (bundle / "runs/0123456789ab.json").write_text("{}")
    assert faults(bundle) == ["runs/0123456789ab.json belongs to no row of the study"]


def test_a_run_that_was_removed_is_named(bundle):
    """A run that has not ended yet has no file either: the index says which have one."""
    path = first_run(bundle)
    path.unlink()
    assert f"runs/{path.name} is missing" in faults(bundle)


def test_digits_that_another_processor_changes_are_no_fault():
    assert _agree('{"a": [0.1, NaN, 1]}', '{"a": [0.10000000000000002, NaN, 1]}')
    for other in ('{"a": [0.1001, NaN, 1]}', '{"a": [0.1, NaN, 2]}', '{"b": 1}', "{", "[1]"):
        assert not _agree('{"a": [0.1, NaN, 1]}', other)


def test_the_message_lists_the_faults(bundle):
    path = first_run(bundle)
    edit_json(path, ["result", "cost", "train_s"], 1.0)
    with pytest.raises(BundleError) as refused:
        verify(bundle)
    assert str(refused.value).splitlines()[1:] == [
        f"  runs/{path.name}: result.cost.train_s was changed after it was published"
    ]


@pytest.mark.parametrize("name", THIN)
def test_thin_classes_are_those_of_the_data_sets(name):
    """Verifying imports neither torch nor a data set."""
    assert open_dataset(DataSpec(name=name, evaluate="val"), None).thin_classes == THIN[name]
