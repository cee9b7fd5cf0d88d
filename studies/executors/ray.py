"""Jobs on a Ray cluster, one worker in each place that Ray finds. The only file that imports ray.

Ray chooses the node and the GPU, starts a process there and notices when it is lost. The progress
of runs is in the ledger, and the scheduler alone decides on retries; those of Ray are disabled.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import InstallError, RootError, SpecError
from bench.runs.rundir import RunDir
from bench.runs.source_code import environment_of
from studies.executors import ray_place as places
from studies.executors.ray_handle import Handle, one_line

CONNECT_SECONDS = 5.0
PROBE_SECONDS = 60.0
WAIT_SECONDS = 60.0
HTTP2_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
HTTP2_SETTINGS = b"\4"
PER_CPU_NODE = 2
"""Trainings at a time on a node without a GPU."""


@dataclass(frozen=True)
class RayOptions:
    """The cluster to use, and how many trainings run on it."""

    address: str
    """HOST:PORT of the head node."""
    workers: int | None = None
    """The largest number of trainings at a time; None for as many as the cluster has room for."""
    per_gpu: int = 1
    """Trainings at a time on each GPU."""


def ray_options(
    executor: str, address: str | None, workers: int | None, per_gpu: int, per_run: int = 1
) -> RayOptions:
    """Return the cluster to use.

    Raises:
        SpecError: only one of ``executor`` and ``address`` names a cluster, or ``per_run`` is
            above 1.
    """
    if executor == "ray" and per_run > 1:
        raise SpecError("--gpus-per-run: on a Ray cluster each training has one GPU")
    if executor != "ray" or address is None:
        raise SpecError("--executor ray and --address HOST:PORT go together")
    return RayOptions(address, workers, per_gpu)


class RayExecutor:
    """Starts workers in places of a cluster; it requests one place ahead, which Ray may queue."""

    def __init__(
        self,
        options: RayOptions,
        *,
        root: Path,
        snapshot: Path,
        data_root: Path | None = None,
        log: Callable[[str], None],
    ) -> None:
        """Connect to the cluster and check that its nodes can run trainings.

        Args:
            options: the cluster.
            root: the output folder.
            snapshot: folder with the code that the workers run.
            data_root: folder with the data sets.
            log: receives one line when Ray has no free place, and for each unusable node.

        Raises:
            InstallError: Ray is not installed.
            SpecError: the cluster cannot be reached, or it has neither GPU nor CPU.
            RootError: a node does not see the folders, or torch is not installed there.
        """
        self.ray = _connect(options.address)
        self.options = options
        self.data_root = data_root
        self.snapshot = snapshot
        self.log = log
        self.folders = places.share_folders(root, data_root)
        self.ray.cloudpickle.register_pickle_by_value(places)
        self.share = _share([node["Resources"] for node in self._nodes()], options)
        self._inspect([node for node in self._nodes() if self.share.fits(node["Resources"])])
        self.busy: set[Handle] = set()
        self.spare: _Spare | None = None
        self.unusable: list[_Spare] = []
        self.waiting_since = time.monotonic()

    @property
    def has_room(self) -> bool:
        """Return whether a place is ready for a job."""
        if self.options.workers is not None and len(self.busy) >= self.options.workers:
            return False
        if self.spare is None:
            self.spare = _Spare(self._new_place())
            self.waiting_since = time.monotonic()
        return self._is_ready(self.spare)

    def start(self, run_dirs: list[Path]) -> Handle:
        """Start one worker on these run directories; its output goes to the first one's log.txt."""
        spare, self.spare = self.spare, None
        assert spare is not None
        arguments = [*map(str, run_dirs), "--threads", str(self.share.threads)]
        if self.share.gpus:
            arguments += ["--memory-share", str(1 / self.options.per_gpu)]
        if self.data_root is not None:
            arguments += ["--data-root", str(self.data_root)]
        environment = {"OMP_NUM_THREADS": str(self.share.threads), **environment_of(self.snapshot)}
        code = spare.place.run.remote(arguments, run_dirs[0] / "log.txt", environment)
        handle = Handle(
            self.ray,
            spare.place,
            spare.host,
            code,
            run_dirs=[RunDir(path) for path in run_dirs],
            release=self.busy.discard,
        )
        self.busy.add(handle)
        return handle

    def close(self) -> None:
        """Disconnect; running workers write a checkpoint and stop by themselves."""
        self.ray.shutdown()

    def _nodes(self) -> list[dict[str, Any]]:
        return [node for node in self.ray.nodes() if node["Alive"]]

    def _new_place(self) -> Any:
        options = {
            "num_gpus": self.share.gpus,
            "num_cpus": self.share.cpus,
            "max_restarts": 0,
            "max_task_retries": 0,
            "max_concurrency": 2,  # so that ``signal`` can be called during ``run``
            # A worker whose parent has ended writes a checkpoint; Ray would kill it before that.
            "runtime_env": {"env_vars": {"RAY_kill_child_processes_on_worker_exit": "0"}},
        }
        return self.ray.remote(places.Place).options(**options).remote(self.folders)

    def _is_ready(self, spare: _Spare) -> bool:
        if spare.host:
            return True
        if spare.answer is None:
            spare.answer = spare.place.inspected.remote()
        if not self.ray.wait([spare.answer], timeout=0)[0]:
            if not self.busy and time.monotonic() - self.waiting_since > WAIT_SECONDS:
                self.waiting_since = float("inf")
                self.log("Ray has no place free; waiting for one")
            return False
        try:
            spare.host, fault = self.ray.get(spare.answer)
        except self.ray.exceptions.RayActorError:
            self.spare = None
            return False
        if fault is not None:  # A node that joined later; keeping the place keeps others away.
            self.log(f"Ray's node {spare.host} is not used: {fault}")
            self.unusable.append(spare)
            self.spare = None
        return fault is None

    def _inspect(self, nodes: list[dict[str, Any]]) -> None:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        inspect = self.ray.remote(places.inspect)
        answers = {
            inspect.options(
                num_cpus=0,
                max_retries=0,
                scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False),
            ).remote(self.folders): node["NodeManagerHostname"]
            for node in nodes
        }
        in_time, late = self.ray.wait(
            list(answers), num_returns=len(answers), timeout=PROBE_SECONDS
        )
        faults = [(answers[answer], "does not answer") for answer in late]
        for answer in in_time:
            try:
                _, fault = self.ray.get(answer)
            except self.ray.exceptions.RayError as error:
                fault = one_line(error)
            if fault is not None:
                faults.append((answers[answer], fault))
        if faults:
            host, fault = faults[0]
            self.close()
            raise RootError(
                f"Ray's node {host}: {fault} ({len(faults)} of {len(answers)} nodes cannot be "
                "used); code, runs and data must be on a file system that all nodes share"
            )


@dataclass(frozen=True)
class _Share:
    """The part of a node that one training uses."""

    gpus: float
    cpus: int
    threads: int

    def fits(self, resources: dict[str, float]) -> bool:
        return resources.get("GPU", 0) >= self.gpus and resources.get("CPU", 0) >= self.cpus


def _share(nodes: list[dict[str, float]], options: RayOptions) -> _Share:
    """Return an equal share of the smallest node.

    A GPU is divided by ``per_gpu``, the CPU cores by the number of trainings on the node. If no
    node has a GPU, the trainings share the cores.

    Raises:
        SpecError: the cluster has neither GPU nor CPU.
    """
    with_gpu = [node for node in nodes if node.get("GPU", 0) >= 1]
    if with_gpu:
        cpus = min(
            int(node.get("CPU", 0) // (int(node["GPU"]) * options.per_gpu)) for node in with_gpu
        )
        # Ray counts in ten-thousandths: three shares of 0.3334 would not fit into one GPU.
        return _Share(10_000 // options.per_gpu / 10_000, cpus, max(1, cpus))
    cores = [int(node["CPU"]) for node in nodes if node.get("CPU", 0) >= 1]
    if not cores:
        raise SpecError(f"--address {options.address}: the cluster has neither GPU nor CPU")
    on_a_node = -(-(options.workers or PER_CPU_NODE * len(cores)) // len(cores))
    cpus = max(1, min(cores) // on_a_node)
    return _Share(0, cpus, cpus)


@dataclass
class _Spare:
    """A requested place; it exists once it has answered, and then ``host`` is its node's name."""

    place: Any
    answer: Any = None
    host: str = ""


def _connect(address: str) -> Any:
    """Return the module ray, connected to the cluster at ``address``."""
    match = re.fullmatch(r"([^/:\s]+|\[[^]\s]+\]):(\d+)", address)
    if match is None:
        raise SpecError(
            f"--address {address}: give HOST:PORT of the cluster's head node, and start segloss on "
            "a machine of the cluster"
        )
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise InstallError('Ray is not installed: pip install "segloss-bench[ray]"') from None
    try:
        _check_port(match[1].strip("[]"), int(match[2]))
        ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL)
    except (OSError, OverflowError, RuntimeError, ValueError) as error:
        raise SpecError(f"--address {address}: no Ray cluster: {one_line(error)}") from None
    return ray


def _check_port(host: str, port: int) -> None:
    """Raise OSError at once unless the port speaks gRPC; Ray itself would retry for minutes."""
    with socket.create_connection((host, port), CONNECT_SECONDS) as connection:
        if "RAY_USE_TLS" in os.environ:
            return
        connection.sendall(HTTP2_GREETING)
        if connection.recv(9)[3:4] != HTTP2_SETTINGS:
            raise OSError("the port is open but does not speak gRPC")
