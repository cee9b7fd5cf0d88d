"""A session in the background: the same command again, detached from the terminal."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from bench.cli.options import SessionOptions
from bench.cli.views.log import tail
from bench.cli.views.reading import reading_bar
from bench.cli.views.text import say
from bench.data.cache import Cache
from bench.errors import RootError
from bench.runs.rundir import all_run_dirs
from bench.runs.source_code import SOURCE, environment_of
from studies.ledger import DONE, current_state, holder

if TYPE_CHECKING:
    from bench.cli.session import Resources
    from studies.plan import Plan

LOG = "session.log"
FLAG = "--detach"
# The first import of torch from a cold disk is slow.
START_SECONDS = 180.0


def check_start(
    root: Path, plans: list[Plan], options: SessionOptions, resources: Resources
) -> None:
    """Raise now any error that would end the session at its start, such as missing data.

    Args:
        root: the output folder, which the caller has locked.
        plans: the plans of the session.
        options: of the verb.
        resources: those of the session.
    """
    from bench.cli.session import admit_plans
    from bench.data.check import check_data
    from bench.models.pretrained import place_weights

    admit_plans(root, plans, options, resources.data_root)
    done = {d.run_id for d in all_run_dirs(root) if current_state(d).status in DONE}
    for plan in plans:
        missing = [spec for run_id, spec in plan.specs.items() if run_id not in done]
        if missing:
            resources.check_places()
            with reading_bar() as progress:
                cache = Cache(root / "cache", say, progress=progress)
                check_data(missing[0], resources.data_root, cache)
            place_weights(root, missing[0].model, options.weights)


def start_detached(root: Path, arguments: list[str]) -> int:
    """Run `segloss ARGUMENTS` in the background.

    Returns:
        0 once the session has locked ``root``. If the command ends before that, the last lines of
        its log are printed and its exit code is returned.

    Raises:
        RootError: the session does not start in time.
    """
    log = root / LOG
    child = _start(log, [argument for argument in arguments if argument != FLAG])
    end = time.monotonic() + START_SECONDS
    while (session := holder(root)) is None or session.pid != child.pid:
        if child.poll() is not None:
            typer.echo(tail(log, 10)[0], nl=False, err=True)
            return child.returncode
        if time.monotonic() > end:
            raise RootError(f"process {child.pid} has not started its session; see {log}")
        time.sleep(0.1)
    place = shlex.quote(str(root))
    say(
        f"the session is process {child.pid}; its log is {log}\n"
        f"  segloss status --watch --root {place}   shows its progress\n"
        f"  segloss cancel --root {place}           stops it with checkpoints"
    )
    return 0


def _start(log: Path, arguments: list[str]) -> subprocess.Popen[bytes]:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        began = time.strftime("%Y-%m-%d %H:%M:%S")
        file.write(f"\n{began}  segloss {shlex.join(arguments)}\n".encode())
        file.flush()
        return subprocess.Popen(
            # -P: a file in the current folder must not replace one of these packages.
            [sys.executable, "-P", "-m", "bench", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment_of(SOURCE)},
            start_new_session=True,
        )
