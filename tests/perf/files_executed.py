"""Count the product files that one `segloss run losses` executes, in all of its processes.

`python tests/perf/files_executed.py [CHECKOUT]`. Trains the shipped study at one seed on the tests'
tiny profile and prints every file with a called function, grouped by room. Code that runs during an
import (class bodies, decorators) does not count. Needs no test runner.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

SOURCE = Path(__file__).parents[2]
PACKAGES = ("bench", "losses", "postproc", "studies", "reports")

# Every Python process imports this module when it starts, and a fork inherits it. A worker runs the
# code of a snapshot, so files are identified by their path from the package's folder on.
SITE = """
import os, re, sys, threading

product = re.compile(r".*?((?:%(packages)s)/(?:[^/]+/)*[^/]+\\.py)$")
seen = set()


def imported(frame):
    while frame := frame.f_back:
        if frame.f_code.co_name == "<module>" and frame.f_globals["__name__"] != "__main__":
            return True
    return False


def profile(frame, event, argument):
    code = frame.f_code
    if event != "call" or code in seen:
        return
    if not any(f"/{name}/" in code.co_filename for name in %(names)r):
        seen.add(code)
        return
    match = product.match(code.co_filename)
    if not match or "site-packages" in code.co_filename or "/tests/" in code.co_filename:
        seen.add(code)
    elif code.co_flags & 1 and not imported(frame):  # class bodies and modules are not optimized
        seen.add(code)
        with open(os.environ["FILES_EXECUTED"], "a") as file:
            file.write(f"{match[1]} {code.co_qualname}\\n")


if "FILES_EXECUTED" in os.environ:
    threading.setprofile(profile)
    sys.setprofile(profile)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout", nargs="?", type=Path, default=SOURCE)
    checkout = parser.parse_args().checkout.resolve()
    with tempfile.TemporaryDirectory() as folder:
        calls = measure(checkout, Path(folder))
    show(calls)


def measure(checkout: Path, folder: Path) -> set[str]:
    """Return a line "FILE FUNCTION" for each function that was called."""
    sys.path.insert(0, str(SOURCE / "tests" / "fixtures"))
    from tiny import TINY_PROFILE

    (folder / "tiny.toml").write_text(TINY_PROFILE)
    names = {"packages": "|".join(PACKAGES), "names": PACKAGES}
    (folder / "site").mkdir()
    (folder / "site" / "sitecustomize.py").write_text(SITE % names)
    calls = folder / "calls"
    command = ["run", "losses", "--profile", "tiny.toml", "--seeds", "1", "--workers", "1"]
    subprocess.run(
        [sys.executable, "-P", "-m", "bench", *command, "--root", "out"],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(checkout), str(folder / "site")]),
            "FILES_EXECUTED": str(calls),
        },
        check=True,
    )
    return set(calls.read_text().splitlines())


def show(calls: set[str]) -> None:
    functions = Counter(line.partition(" ")[0] for line in calls)
    rooms = defaultdict(list)
    for file in sorted(functions):
        rooms[file.rpartition("/")[0]].append(file)
    sys.stdout.write(f"\n{len(functions)} files, {len(calls)} functions\n")
    for room, files in sorted(rooms.items()):
        named = ", ".join(f"{file.rpartition('/')[2]} {functions[file]}" for file in files)
        sys.stdout.write(f"{room} ({len(files)}): {named}\n")


if __name__ == "__main__":
    main()
