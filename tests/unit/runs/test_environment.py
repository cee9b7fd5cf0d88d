"""The environment of a run: sums in a fixed order, a part of a GPU that holds, digests."""

import importlib
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from bench.errors import InstallError
from bench.runs.environment import CONTEXT_BYTES, environment, take_gpu, tensor_share
from bench.runs.source_code import code_digest
from losses import CrossEntropyLoss

GIB = 2**30

IMPORTS = """
import importlib, os, torch

def touched(*_):
    raise SystemExit("a GPU was touched")

names = ("is_available", "device_count", "_lazy_init")
own = {name: getattr(torch.cuda, name) for name in names}
for name in names:
    setattr(torch.cuda, name, touched)
from studies.executors.local import LIBRARIES
for library in LIBRARIES:
    importlib.import_module(library)
import bench.worker.__main__, bench.worker.rank
for name in names:
    setattr(torch.cuda, name, own[name])

from bench.runs.environment import set_up_torch
os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)
set_up_torch(2)
print(torch.get_num_threads(), os.environ["CUBLAS_WORKSPACE_CONFIG"])
print(torch.are_deterministic_algorithms_enabled())
print(torch.is_deterministic_algorithms_warn_only_enabled() == torch.cuda.is_available())
"""


def test_nothing_that_is_imported_before_a_fork_touches_a_gpu():
    """CUDA does not survive a fork. After it, a worker sets up torch."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["2", ":4096:8", "True", "True"]


def test_a_gpu_that_was_assigned_and_cannot_be_used_is_refused(monkeypatch):
    """Instead of a training on the CPU that takes days."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    with pytest.raises(InstallError, match="GPU 3 was assigned to this worker"):
        take_gpu(1.0)


@pytest.fixture
def limits(monkeypatch):
    """The limits that were set on a GPU of 80 GiB."""
    found = []
    gpu = SimpleNamespace(total_memory=80 * GIB)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: gpu)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", found.append)
    return found


def test_one_process_on_a_gpu_has_no_limit(limits):
    take_gpu(1.0)
    assert limits == []


@pytest.mark.parametrize("processes", [2, 3, 8])
def test_all_processes_on_a_gpu_fit_into_its_memory(limits, processes):
    """With what each of them takes besides tensors."""
    take_gpu(1 / processes)
    (share,) = limits
    assert processes * (share * 80 * GIB + CONTEXT_BYTES) == pytest.approx(80 * GIB)


def test_a_share_is_never_nothing():
    """On a small GPU that many processes share, half of each share is left for tensors."""
    assert tensor_share(1 / 8, 4 * GIB) == 1 / 16
    assert CONTEXT_BYTES < GIB


def test_the_environment_names_what_can_move_a_number():
    """Versions, device and threads; the digest leaves out the host."""
    here, there = (environment("cpu", threads, CrossEntropyLoss) for threads in (1, 2))
    assert here["packages"]["torch"]
    assert here["digest"] != there["digest"]
    assert here["code"] == there["code"]


def test_the_environment_of_a_gpu_names_its_libraries(monkeypatch):
    """And whether products are TF32; that of a CPU has nothing of it."""
    here = environment("NVIDIA H100", 1, CrossEntropyLoss)
    assert here["cudnn"] == torch.backends.cudnn.version()
    assert here["tf32"]["matrix products"] is False
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    assert environment("NVIDIA H100", 1, CrossEntropyLoss)["digest"] != here["digest"]
    assert not {"cuda", "cudnn", "tf32"} & set(environment("cpu", 1, CrossEntropyLoss))


def test_a_plug_in_loss_has_a_digest_of_its_own(tmp_path, monkeypatch):
    """Two versions of it are told apart, and what is ours stays the same beside it."""
    path = tmp_path / "plugin_loss.py"
    monkeypatch.syspath_prepend(tmp_path)
    found = []
    for scale in (1, 2):
        path.write_text(f"class Loss:\n    scale = {scale}\n")
        sys.modules.pop("plugin_loss", None)
        found.append(environment("cpu", 1, importlib.import_module("plugin_loss").Loss))
    assert found[0]["plugin"] != found[1]["plugin"]
    ours = environment("cpu", 1, CrossEntropyLoss)
    assert ours["plugin"] is None
    assert {ours["code"], found[0]["code"], found[1]["code"]} == {code_digest()}
