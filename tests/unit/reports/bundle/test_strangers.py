"""A bundle is a stranger's file: it is read safely, or refused in a line or two."""

import gzip
import json
import os
import random
import shutil
from pathlib import Path

import pytest
from published import edit_json

from bench.errors import SeglossError
from bench.runs.rundir import RunDir
from bench.store.snapshot import address
from reports.bundle.counts import parse_counts
from reports.bundle.files import COUNTS_BYTES, TEXT_BYTES, BundleError
from reports.bundle.read import check_files, open_bundle, unpacked
from reports.bundle.run import leave_run
from reports.stored import read_scores

HOSTILE = r"<script>alert(1)</script> & 100% $x_1$ {#} ~^\ | **b** [l](u)"


def reads(bundle: Path) -> None:
    """Read everything that a report reads."""
    with unpacked(bundle) as (found, root):
        read_scores(address(root), found.manifest.study, found.manifest.profile)


def first(bundle: Path, folder: str) -> Path:
    return sorted((bundle / folder).iterdir())[0]


def test_links_and_pipes_are_not_followed(bundle, tmp_path):
    """Neither as a file nor as a folder: a bundle reads nothing from outside itself."""
    secret = tmp_path / "secret.json"
    path = first(bundle, "runs")
    shutil.move(path, secret)
    path.symlink_to(secret)
    with pytest.raises(BundleError, match="link"):
        reads(bundle)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(BundleError, match="not a regular file"):
        reads(bundle)
    path.unlink()
    path.mkdir()
    with pytest.raises(BundleError, match="not a regular file"):
        reads(bundle)
    path.rmdir()
    shutil.move(secret, path)
    shutil.move(bundle / "runs", tmp_path / "elsewhere")
    (bundle / "runs").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleError, match="is a link"):
        reads(bundle)


@pytest.mark.parametrize(
    "files",
    [None, [], {"README.md": 5}, {"../x": "0"}, {"/etc/passwd": "0"}, {"": "0"}, {"x" * 5000: "0"}],
)
def test_the_index_names_texts_of_the_bundle_alone(files):
    with pytest.raises(BundleError, match="files"):
        check_files(files)
    check_files({"README.md": "0", "report/tables.csv": "0"})


def test_a_bomb_is_not_unpacked(bundle):
    """A few kilobytes that would become gigabytes, and a file that is too large as it is."""
    path = first(bundle, "counts")
    whole = path.read_bytes()
    path.write_bytes(gzip.compress(bytes(COUNTS_BYTES + 1), compresslevel=1))
    with pytest.raises(BundleError, match="at most 134,217,728 bytes"):
        reads(bundle)
    path.write_bytes(whole[:-9])
    with pytest.raises(BundleError, match="not one whole gzip stream"):
        reads(bundle)
    with first(bundle, "runs").open("r+b") as file:
        file.truncate(TEXT_BYTES + 1)
    with pytest.raises(BundleError, match=r"33,554,433 bytes; at most"):
        reads(bundle)


@pytest.mark.parametrize(
    ("names", "value", "message"),
    [
        (["study"], "../../outside", "not the name of a study"),
        (["study"], "", "not the name of a study"),
        (["profile"], "tiny@../x", "not a profile's name"),
        (["tables", 0, "rows", 0, "run_ids"], ["../../../x", "b"], "not the id of a run"),
        (["tables", 0, "rows", 0, "run_ids"], ["0123456789ab"], "not one run for each seed"),
        (["jobs", 0, "source"], "/etc/passwd", "not the id of a run"),
        (["seeds"], [0, "x"], "seeds"),
        (["title"], "a\x1b[2Jb", "control character"),
        (["title"], "\u202egnp.exe", "control character"),
        (["title"], "\ud800", "not valid JSON"),
    ],
)
def test_a_manifest_names_no_other_place(bundle, names, value, message):
    """Its names become names of files."""
    edit_json(bundle / "bundle.json", ["manifest", *names], value)
    with pytest.raises(BundleError, match=message) as refused:
        open_bundle(bundle)
    assert "\x1b" not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", "[" * 100_000, "null", '{"schema": 2}', '{"schema": 1}', "1" * 5000, "\xff",
     '{"schema": 1, "manifest": 3}', '{"schema": 1' + ', "a": 1' * 9 + "}"],
)  # fmt: skip
def test_nonsense_is_refused_in_a_line(bundle, text):
    for name in ("bundle.json", f"runs/{first(bundle, 'runs').name}"):
        whole = (bundle / name).read_bytes()
        (bundle / name).write_bytes(text.encode("latin-1"))
        with pytest.raises(SeglossError) as refused:
            reads(bundle)
        (bundle / name).write_bytes(whole)
        assert len(str(refused.value)) < 1000


LINE = {"image": "a", "group": None, "pixels": {"0": [3, 0]}, "intersection": [1], "union": [2]}


@pytest.mark.parametrize(
    "change",
    [
        {"pixels": {"9": [1, 0]}},
        {"pixels": {"-1": [1, 0]}},
        {"pixels": {"²": [1, 0]}},
        {"pixels": {"0": [-1, 0]}},
        {"pixels": {"0": [2**40, 0]}},
        {"pixels": {"0": [2**70, 0]}},
        {"pixels": {"0": [1.5, 0]}},
        {"pixels": {"0": [1]}},
        {"pixels": {"0": [[1, 0], [1, 0]]}},
        {"pixels": {"0": ["1", 0]}},
        {"pixels": {"0": {}}},
        {"pixels": [1]},
        {"pixels": None},
        {"image": 3},
        {"image": ""},
        {"group": 7},
        {"union": [1, 2]},
        {"union": [float("inf")]},
        {"union": [-1]},
        {"union": None},
        {"trimap": -1},
    ],
    ids=str,
)
def test_a_wrong_line_of_counts_is_refused(change):
    """With its place, before anything is allocated for it."""
    from reports.bundle.counts import _with_check

    good = json.dumps(_with_check(LINE))
    assert parse_counts(good, 2, "c").matrices.tolist() == [[[3, 0], [0, 0]]]
    bad = json.dumps(_with_check(LINE | change))
    with pytest.raises(BundleError, match=r"^c"):
        parse_counts(bad, 2, "c")
    with pytest.raises(BundleError, match=r"^c: 1 images of 100000 classes are too many"):
        parse_counts(good, 100_000, "c")


def test_hostile_text_is_escaped_in_every_format(bundle, tmp_path):
    """Names of rows come from the bundle: markup in them stays text."""
    from reports.report import build_report

    rows = ["manifest", "tables", 0, "rows", 0]
    edit_json(bundle / "bundle.json", [*rows, "label"], HOSTILE)
    edit_json(bundle / "bundle.json", [*rows, "method"], HOSTILE)
    with unpacked(bundle) as (found, root):
        files = build_report(
            address(root), found.manifest.study, found.manifest.profile, tmp_path / "report"
        )
        page = files.index.read_text()
    assert "alert(1)" in page
    assert "<script>alert(1)" not in page
    assert "<script>" not in files.named("tables.md").read_text()
    assert r"\$x\_1\$" in files.named("tables.tex").read_text()


@pytest.mark.long
def test_no_damage_does_more_than_refuse(bundle, tmp_path):
    """Two thousand damaged files: read, or refused by an error with one message."""
    draw, refused = random.Random(0), 0
    run_id = first(bundle, "runs").stem
    names = ("bundle.json", f"runs/{run_id}.json", f"counts/{run_id}.jsonl.gz")
    for turn in range(2000):
        path = bundle / names[turn % 3]
        whole = path.read_bytes()
        path.write_bytes(damaged(whole, draw, path.suffix == ".gz"))
        try:
            found = open_bundle(bundle)
            if record := found.record(run_id):
                leave_run(record, found.counts(record), RunDir(tmp_path / "run"), "test")
        except SeglossError:
            refused += 1
        assert set(tmp_path.iterdir()) <= {bundle, tmp_path / "run"}
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        path.write_bytes(whole)
    assert 500 < refused < 2000


def damaged(content: bytes, draw: random.Random, zipped: bool) -> bytes:
    """The content of a file with a byte, a value or a stretch of it changed."""
    if zipped and draw.random() < 0.8:
        return gzip.compress(damaged(gzip.decompress(content), draw, False))
    at = draw.randrange(len(content))
    kind = draw.choice(["byte", "cut", "repeat", "value"])
    if kind == "byte":
        return content[:at] + bytes([draw.randrange(256)]) + content[at + 1 :]
    if kind == "cut":
        return content[:at] + content[at + draw.randrange(1, 2000) :]
    if kind == "repeat":
        return content[:at] + content[at : at + 500] + content[at:]
    data = content.decode("utf-8", "replace").replace("\n", "", 0)
    values = ["null", "-1", "1e999", "[]", "{}", '"../x"', "9" * 400, "true", '"\\u0000"', "NaN"]
    numbers = [i for i, c in enumerate(data) if c.isdigit() and not data[i - 1].isalnum()]
    if not numbers:
        return content[::-1]
    start = draw.choice(numbers)
    end = next(i for i in range(start, len(data) + 1) if not data[i : i + 1].isdigit())
    return (data[:start] + draw.choice(values) + data[end:]).encode()
