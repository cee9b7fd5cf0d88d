"""A night that goes on without its terminal: the same command again, in a session of its own."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import typer

from bench.cli.logs import tail
from bench.data.cache import Cache
from bench.errors import RootError
from bench.runs.rundir import all_run_dirs
from bench.runs.snapshot import SOURCE, environment_of
from studies.ledger import DONE, current_state, holder, lock_root
from studies.plan import Plan

LOG = "night.log"
FLAG = "--detach"
# Importing torch from a cold disk takes long.
START_SECONDS = 180.0


def check_start(
    root: Path, plans: list[Plan], data_root: Path | None, weights: Path | None
) -> None:
    """Raise now what would end the night at its start: the root is held, data are missing."""
    from bench.models.pretrained import place_weights
    from bench.preflight import check_data

    data_root = data_root.resolve() if data_root else None
    with lock_root(root):
        done = {d.run_id for d in all_run_dirs(root) if current_state(d).status in DONE}
        for plan in plans:
            missing = [spec for run_id, spec in plan.specs.items() if run_id not in done]
            if missing:
                check_data(missing[0], data_root, Cache(root / "cache", typer.echo))
                place_weights(root, missing[0].model, weights)


def start_detached(root: Path, arguments: list[str]) -> int:
    """Run `segloss ARGUMENTS` in the background; returns 0 once it holds ``root``.

    A command that ends before that has said why in the log: its last lines are printed and its
    exit code comes back.
    """
    log = root / LOG
    child = _start(log, [argument for argument in arguments if argument != FLAG])
    end = time.monotonic() + START_SECONDS
    while (held := holder(root)) is None or held.pid != child.pid:
        if child.poll() is not None:
            typer.echo(tail(log, 10)[0], nl=False, err=True)
            return child.returncode
        if time.monotonic() > end:
            raise RootError(f"process {child.pid} has not begun; see {log}")
        time.sleep(0.1)
    typer.echo(
        f"the night is process {child.pid}; it writes {log}\n"
        f"  segloss status --watch --root {shlex.quote(str(root))}   what it does\n"
        f"  segloss cancel --root {shlex.quote(str(root))}           stops it with checkpoints"
    )
    return 0


def _start(log: Path, arguments: list[str]) -> subprocess.Popen[bytes]:
    with log.open("ab") as file:
        began = time.strftime("%Y-%m-%d %H:%M:%S")
        file.write(f"\n{began}  segloss {shlex.join(arguments)}\n".encode())
        file.flush()
        return subprocess.Popen(
            # -P: what lies in the current folder must not stand in for these packages.
            [sys.executable, "-P", "-m", "bench", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment_of(SOURCE)},
            start_new_session=True,
        )
