"""MLflow's server of a store's pages, on this machine only."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from bench.store.client import ENVIRONMENT, StoreError

START_SECONDS = 180.0
"""Longest start of the server; on an idle machine it takes about 6 s."""
POLL_SECONDS = 0.2


@contextmanager
def serving(uri: str, artifact_root: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Yield the process that answers on 127.0.0.1:``port``; it ends with the block.

    Raises:
        StoreError: the port is taken, or the server does not start.
    """
    check_port(port)
    with TemporaryFile() as log:
        process = _start(uri, artifact_root, port, log)
        try:
            _wait_for_answer(process, port, log)
            yield process
        finally:
            process.terminate()
            process.wait()


def _start(uri: str, artifact_root: Path, port: int, log: IO[bytes]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri]
    command += ["--default-artifact-root", artifact_root.resolve().as_uri()]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    return subprocess.Popen(command, env=ENVIRONMENT | os.environ, stdout=log, stderr=log)


def _wait_for_answer(process: subprocess.Popen[bytes], port: int, log: IO[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(POLL_SECONDS)
    log.seek(0)
    lines = log.read().decode(errors="replace").strip().splitlines()
    why = lines[-1].strip() if process.poll() is not None and lines else "it does not answer"
    raise StoreError(f"MLflow's server on port {port} did not start: {why}")


def check_port(port: int) -> None:
    """Raise StoreError if another process listens on the port."""
    # MLflow itself exits with code 0 if the port is taken.
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise StoreError(f"port {port} is taken; try --port {port + 1}") from None
