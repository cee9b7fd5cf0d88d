"""Several processes as one: two ranks train what one process trains, and end together."""

import os
import signal
import subprocess
import sys
import time

import cpu_ranks
import psutil
import pytest
import torch
from cpu_ranks import CHANGES, train, training
from torch.cuda._utils import _get_device_index
from torch.testing import assert_close

from bench.training.distributed import ALONE, Ranks, join, lead


def test_ranks_share_every_part_of_a_batch():
    """A part over all ranks is the part of a process alone, so batch norm sees the same images."""
    batch = list("abcdefgh")
    assert ALONE.shard(batch, 2) == batch
    shares = [Ranks(rank, 2).shard(batch, 2) for rank in range(2)]
    assert shares == [list("abef"), list("cdgh")]
    assert [Ranks(rank, 4).shard(batch, 1) for rank in range(4)] == [
        list("ab"),
        list("cd"),
        list("ef"),
        list("gh"),
    ]


@pytest.fixture(scope="module")
def of_two(tmp_path_factory):
    out = tmp_path_factory.mktemp("ranks") / "out.pt"
    subprocess.run([sys.executable, cpu_ranks.__file__, out, "--count", "2"], check=True)
    return torch.load(out, weights_only=True)


@pytest.mark.parametrize("loss", CHANGES)
def test_two_ranks_train_what_one_process_trains(of_two, loss):
    """To rounding: weights, their average, running statistics, curves; exactly what is drawn."""
    alone, found = train(training(loss, ALONE, **CHANGES[loss])), of_two[loss]
    assert_close(found["model"], alone.model.state_dict(), rtol=1e-4, atol=1e-5)
    averaged = alone.average.weights if alone.average else {}
    assert_close(found["average"], averaged, rtol=1e-4, atol=1e-5)
    assert found["digests"] == [alone.progress.order, alone.progress.augment]
    for record, expected in zip(found["records"], alone.records, strict=True):
        # A pixel whose two best classes are as good as equal may go either way.
        assert record.pop("train/miou") == pytest.approx(expected.pop("train/miou"), abs=1e-3)
        assert record == pytest.approx(expected, rel=1e-4)
    start = training(loss, ALONE).model.state_dict()
    assert (found["model"]["0.weight"] - start["0.weight"]).abs().max() > 1e-2


def test_ranks_go_on_from_the_state_of_the_first(of_two):
    """Which alone reads the checkpoint."""
    for name, tensor in of_two["ce"]["model"].items():
        assert torch.equal(tensor, of_two["resumed"]["model"][name]), name


@pytest.mark.parametrize("rank", [0, 2])
def test_each_rank_takes_the_gpu_of_its_number(monkeypatch, tmp_path, rank):
    """Also rank 0, whose device is "cuda" without a number."""
    taken, groups = [], []
    # As torch.cuda.set_device, up to where it needs a GPU.
    monkeypatch.setattr(torch.cuda, "set_device", lambda gpu: taken.append(_get_device_index(gpu)))
    monkeypatch.setattr("torch.distributed.init_process_group", lambda *a, **k: groups.append(a))
    device = torch.device("cuda", rank) if rank else torch.device("cuda")
    join(Ranks(rank, 3), tmp_path / "ranks", device)
    assert (taken, groups) == ([rank], [("nccl",)])


@pytest.fixture
def leading(monkeypatch):
    """Lead one other process, which only waits; returns whether it lived as rank 0 left it."""
    seen = []
    before = set(psutil.Process().children())

    def others():
        return [child for child in psutil.Process().children() if child not in before]

    def living():
        return [child.status() != psutil.STATUS_ZOMBIE for child in others()]

    def lead_one(error=None):
        command = [sys.executable, "-c", "import time; time.sleep(60)"]
        with lead(2, command, torch.device("cpu")):
            if error is not None:
                raise error
        return seen

    monkeypatch.setattr("bench.training.distributed.join", lambda *_: None)
    monkeypatch.setattr("torch.distributed.destroy_process_group", lambda: seen.append(living()))
    lead_one.seen, lead_one.others = seen, others
    return lead_one


def test_rank_0_leaves_the_group_while_the_others_live(leading):
    """NCCL waits for them there; then they are killed."""
    assert leading() == [[True]]
    assert leading.others() == []


def test_rank_0_does_not_wait_for_the_others_when_it_has_failed(leading):
    """They are in the middle of a step and will never leave."""
    with pytest.raises(KeyError):
        leading(KeyError("fault"))
    assert leading.seen == []
    assert leading.others() == []


@pytest.mark.parametrize("fallen", [0, 1])
def test_whichever_rank_is_killed_all_end(tmp_path, fallen):
    """The worker too, so that its run is tried again."""
    command = [sys.executable, cpu_ranks.__file__, tmp_path / "out.pt", "--count", "2", "--endless"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as leader:
        pids = [int(leader.stdout.readline()) for _ in range(2)]
        pids.sort(key=lambda pid: pid != leader.pid)
        os.kill(pids[fallen], signal.SIGKILL)
        assert leader.wait(60) != 0
    deadline = time.monotonic() + 60
    while any(map(psutil.pid_exists, pids)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(psutil.pid_exists, pids))
