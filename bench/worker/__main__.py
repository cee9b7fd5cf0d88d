"""Execute one training, or the CRF evaluations of one training, given their run directories.

`python -m bench.worker RUN_DIR [RUN_DIR …]` needs nothing but the run directories and the data.
Exit codes: 0 the runs ended (finished or diverged), 75 stopped and resumable, 78 refused, 74 could
not be written, 1 failed.
"""

from __future__ import annotations

import argparse
import errno
import os
import signal
import sys
import traceback
from pathlib import Path

import torch

from bench.errors import (
    FAILED,
    REFUSED,
    STOPPED,
    UNWRITTEN,
    DivergedError,
    HeldError,
    SeglossError,
    StoppedError,
    format_error,
)
from bench.preflight import check_crf, check_run
from bench.runs.environment import device_name, environment, set_up_torch, take_gpu
from bench.runs.heartbeat import Heartbeat, log_line
from bench.runs.rundir import ORPHANED, Failure, RunDir, Status
from bench.worker.execution import Execution
from losses import find_loss

# Messages of torch on a CPU, of the operating system, of CUDA, of cuBLAS and cuDNN 8, of cuDNN 9.
OUT_OF_MEMORY = (
    "can't allocate memory",
    "Cannot allocate memory",
    "out of memory",
    "STATUS_ALLOC_FAILED",
    "ALLOCATION_FAILED",
)


def main(arguments: list[str] | None = None) -> int:
    """Run the worker and return its exit code."""
    options = _options(arguments)
    set_up_torch(options.threads)
    directories = [RunDir(path.resolve()) for path in options.run_dirs]
    heartbeat = Heartbeat(directories, options.parent)
    signal.signal(signal.SIGTERM, lambda *_: setattr(heartbeat, "stop_requested", True))
    try:
        if options.memory_share is not None:
            take_gpu(options.memory_share)
        _run(heartbeat, options.data_root, options.threads)
    except HeldError:
        return STOPPED  # write nothing: another worker owns this run
    except StoppedError:
        reason = ORPHANED if heartbeat.orphaned else "stopped"
        return _end(directories, "interrupted", None, reason, STOPPED)
    except DivergedError as error:
        return _end(directories, "diverged", None, str(error), 0)
    except SeglossError as error:
        return _end(directories, "failed", "refused", str(error), REFUSED)
    except Exception as error:
        traceback.print_exc()
        return _end(directories, "failed", failure_of(error), format_error(error), FAILED)
    finally:
        heartbeat.timing.close()
    return 0


def failure_of(error: Exception) -> Failure:
    """Return the kind of failure that an exception stands for."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "disk"
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return "oom"
    # torch has no type for errors of the CPU's allocator, of the CUDA driver and of its libraries.
    return "oom" if any(sign in str(error) for sign in OUT_OF_MEMORY) else "crash"


def _run(heartbeat: Heartbeat, data_root: Path | None, threads: int) -> None:
    specs = [directory.spec() for directory in heartbeat.run_dirs]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    facts = environment(device_name(device), threads, find_loss(specs[0].loss.name))
    heartbeat.acquire_leases(specs, facts)
    check_run(specs[0])
    check_crf(specs)
    Execution(heartbeat, specs, device=device, environment=facts, data_root=data_root).run()


def _end(
    directories: list[RunDir], status: Status, failure: Failure | None, reason: str, code: int
) -> int:
    try:
        for directory in directories:
            directory.write_state(status=status, failure=failure, reason=reason, lease=None)
    except OSError as error:
        log_line(f"{status}: {reason}; this could not be written: {error}")
        return UNWRITTEN
    return code


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.worker", description=__doc__)
    parser.add_argument("run_dirs", nargs="+", type=Path)
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--memory-share", type=float, help="share of the assigned GPU's memory")
    parser.add_argument(
        "--parent",
        type=int,
        default=os.getppid(),
        help="process id; the worker stops when this process ends",
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
