"""Place: starts a worker on a node of a Ray cluster and waits for its end.

Ray copies this module to the node by value, so that Ray's processes there import no package of the
project. Only the worker does, from the snapshot in the root.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

TOKEN = ".ray-token"
STOPPED = 75  # as in bench.errors, which Ray's processes cannot import


@dataclass(frozen=True)
class SharedFolders:
    """The folders that every node must see, and proofs that a node sees the same ones."""

    root: Path
    token: str
    """Random text, also in a file in ``root``."""
    data_root: Path | None
    names: str | None
    """Digest of the file names in ``data_root``, which may be read-only."""


def share_folders(root: Path, data_root: Path | None) -> SharedFolders:
    """Write a random token into ``root`` and describe both folders as this machine sees them."""
    token = os.urandom(16).hex()
    (root / TOKEN).write_text(token)
    return SharedFolders(
        root, token, data_root, None if data_root is None else digest_of(data_root)
    )


def digest_of(folder: Path) -> str:
    """Return a digest of the file names in ``folder``."""
    return hashlib.sha256(
        "\0".join(sorted(path.name for path in folder.iterdir())).encode()
    ).hexdigest()


def inspect(shared: SharedFolders) -> tuple[str, str | None]:
    """Return this machine's name, and the reason why it cannot run a training, or None."""
    return socket.gethostname(), _fault(shared)


def _fault(shared: SharedFolders) -> str | None:
    probe = shared.root / f".ray-{socket.gethostname()}-{os.getpid()}"
    try:
        if (shared.root / TOKEN).read_text() != shared.token:
            return f"{shared.root} is another folder there"
        probe.write_text("")
        probe.unlink()
        if shared.data_root is not None and digest_of(shared.data_root) != shared.names:
            return f"{shared.data_root} holds other files there"
    except OSError as error:
        return f"{Path(error.filename).parent}: {error.strerror}"
    if importlib.util.find_spec("torch") is None:
        return f"torch is not installed for {sys.executable}"
    return None


class Place:
    """A share of a node, for one worker; ``signal`` may be called while ``run`` is running."""

    def __init__(self, shared: SharedFolders) -> None:
        self.found = inspect(shared)
        self.process: subprocess.Popen[bytes] | None = None
        self.asked: signal.Signals | None = None

    def inspected(self) -> tuple[str, str | None]:
        """Return the result of ``inspect`` on this node."""
        return self.found

    def run(self, arguments: list[str], log: Path, environment: dict[str, str]) -> int:
        """Run a worker to its end and return its exit code."""
        if self.asked is not None:
            return STOPPED
        # When Ray ends this process, the worker sees it and stops with a checkpoint.
        own = [*arguments, "--parent", str(os.getpid())]
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                # -P: a file in the current folder must not replace a package of the snapshot.
                [sys.executable, "-P", "-m", "bench.worker", *own],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                start_new_session=True,
            )
        if self.asked is not None:
            self.signal(self.asked)
        return self.process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the worker and its children; if none was started, none will be."""
        self.asked = number
        if self.process is not None and self.process.returncode is None:
            os.killpg(self.process.pid, number)
