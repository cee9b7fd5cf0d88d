"""CPU seconds that a user waits for a verb on a finished root, by two versions side by side.

    python tests/perf/waiting.py ROOT STUDY --profile NAME --before CHECKOUT [--after CHECKOUT]

Each version works on a copy of ROOT of its own, with `.venv/bin/python` of its checkout if there is
one. The order alternates, so that both meet the same load. The first call is not counted: it fills
caches. Trains nothing, needs no test runner and asserts nothing.

The finished runs of the copies are recorded as made by the version that is measured. Otherwise the
comparison with the code at hand would be measured too, which needs torch.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
UNEDITED = """
import json, sys
from pathlib import Path
from bench.runs.source_code import _file_of, _short, installed_version
for file in Path(sys.argv[1]).glob("runs/*/probes.json"):
    record = json.loads(file.read_text())
    for part in record["parts"].values():
        text = part["text"]
        places = {name: _file_of(name) for name in text["files"]}
        text["files"] = {name: _short(p.read_bytes()) for name, p in places.items() if p}
        text["packages"] = {name: installed_version(name) for name in text["packages"]}
    file.write_text(json.dumps(record))
"""


@dataclass(frozen=True)
class Version:
    """A checkout, and the copy of the root that it works on."""

    name: str
    checkout: Path
    root: Path

    def run(self, *arguments: str) -> None:
        """Run `python ARGUMENTS` with this version's code."""
        own = self.checkout / ".venv" / "bin" / "python"
        subprocess.run(
            [str(own if own.exists() else sys.executable), *arguments],
            cwd=self.checkout,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            check=True,
        )

    def seconds(self, *verb: str) -> float:
        """Return the CPU seconds of `segloss VERB` on the root, with its child processes."""
        began = _spent()
        self.run("-m", "bench", *verb, "--root", str(self.root))
        return _spent() - began


def _spent() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _nothing(version: Version) -> None:
    """Leave the root as the call before left it."""


def _forget_report(version: Version) -> None:
    shutil.rmtree(version.root / "reports")


# What is measured: the verb, and what happens to the root before each call.
Section = tuple[tuple[str, ...], Callable[[Version], None]]
SECTIONS: dict[str, Section] = {
    "report, drawn": (("report",), _forget_report),
    "report, nothing has changed": (("report",), _nothing),
    "plan": (("plan",), _nothing),
    "run, nothing to train": (("run",), _nothing),
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("study")
    parser.add_argument("--profile", default="scenes-demo")
    parser.add_argument("--before", type=Path, required=True)
    parser.add_argument("--after", type=Path, default=CHECKOUT)
    parser.add_argument("--times", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        versions = [
            _version(name, checkout.resolve(), options.root, Path(folder))
            for name, checkout in (("before", options.before), ("after", options.after))
        ]
        for title, (verb, prepare) in SECTIONS.items():
            arguments = (*verb, options.study, "--profile", options.profile)
            print(title, _compare(versions, arguments, prepare, options.times))  # noqa: T201


def _compare(
    versions: list[Version],
    arguments: tuple[str, ...],
    prepare: Callable[[Version], None],
    times: int,
) -> str:
    taken: dict[str, list[float]] = {version.name: [] for version in versions}
    for turn in range(times + 1):
        for version in versions if turn % 2 else versions[::-1]:
            prepare(version)
            taken[version.name].append(version.seconds(*arguments))
    before, after = (statistics.median(seconds[1:]) for seconds in taken.values())
    return f"{before:.2f} s before, {after:.2f} s after: {after / before:.2f} of before"


def _version(name: str, checkout: Path, root: Path, folder: Path) -> Version:
    """Return a version with a copy of the root whose database names the copy."""
    copy = Path(shutil.copytree(root, folder / name))
    _name_copy(copy)
    version = Version(name, checkout, copy)
    version.run("-c", UNEDITED, str(copy))
    return version


def _name_copy(root: Path) -> None:
    """Let the database name this root: an older version would write into the original."""
    with closing(sqlite3.connect(root / "mlflow.db")) as connection, connection:
        query = "SELECT artifact_location FROM experiments WHERE name LIKE '%/%'"
        old = connection.execute(query).fetchone()[0].rpartition("/artifacts/")[0]
        for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
            change = f"UPDATE {table} SET {column} = replace({column}, ?, ?)"
            connection.execute(change, (old, root.as_uri()))


if __name__ == "__main__":
    main()
