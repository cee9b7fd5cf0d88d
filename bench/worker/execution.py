"""A worker: executes one training, or the evaluations of one training, and records how they ended.

`python -m bench.worker RUN_DIR [RUN_DIR …]` needs nothing but the run directories and the data.
Exit codes: 0 the runs ended (finished or diverged), 75 stopped and resumable, 78 refused, 74 could
not be written, 1 failed.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from bench.data.cache import Cache
from bench.data.registry import open_dataset, training_split
from bench.errors import (
    FAILED,
    REFUSED,
    STOPPED,
    UNWRITTEN,
    DataError,
    DivergedError,
    HeldError,
    SeglossError,
    SpecError,
    StoppedError,
    format_error,
)
from bench.evaluation.scoring import Scoring, training_digests
from bench.files import write_whole
from bench.models.deeplab import build_model
from bench.models.pretrained import find_weights
from bench.preflight import check_crf, check_run
from bench.probes.parts import network_text
from bench.probes.record import write_records
from bench.runs.environment import (
    code_digests,
    device_name,
    environment,
    set_up_torch,
    take_gpu,
)
from bench.runs.heartbeat import Heartbeat, log_line
from bench.runs.rundir import ORPHANED, Failure, Records, RunDir, Status
from bench.runs.source_code import text_of
from bench.seeding import torch_seed
from bench.spec import RunSpec, digest
from bench.training.batches import TrainingData
from bench.training.checkpoint import Checkpoints
from bench.training.distributed import lead
from bench.training.trainer import Training, weights_digest
from bench.worker.failures import failure_of
from losses import loss_classes, loss_from, loss_modules


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
        log_line(traceback.format_exc())
        return _end(directories, "failed", failure_of(error), format_error(error), FAILED)
    finally:
        heartbeat.timing.close()
    return 0


def _run(heartbeat: Heartbeat, data_root: Path | None, threads: int) -> None:
    specs = [directory.spec() for directory in heartbeat.run_dirs]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    facts = environment(device_name(device), threads, *loss_classes(specs[0].loss))
    heartbeat.acquire_leases(specs, facts)
    check_run(specs[0])
    check_crf(specs)
    write_records(heartbeat.run_dirs, specs[0], data_root)
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


class Execution:
    """The runs of one worker: a training, or evaluations that share their training."""

    def __init__(
        self,
        heartbeat: Heartbeat,
        specs: list[RunSpec],
        *,
        device: torch.device,
        environment: dict[str, Any],
        data_root: Path | None,
    ) -> None:
        self.heartbeat = heartbeat
        self.run_dirs = heartbeat.run_dirs
        self.specs = specs
        self.device = device
        self.environment = environment
        self.data_root = data_root
        self.dataset = open_dataset(specs[0].data, data_root)
        self.cache = Cache(self.run_dirs[0].root / "cache", log_line)
        self.scoring = Scoring(heartbeat, specs, self.dataset, self.cache, device, environment)
        self.records = Records(self.run_dirs[0])

    def run(self) -> None:
        """Train and score, or score only.

        Raises:
            StoppedError: The worker was to stop; a training has written its checkpoint.
            DivergedError: The loss is no longer finite.
            SeglossError: The data, the device or the source training cannot be used.
        """
        if self.specs[0].trains:
            self._train()
        else:
            self._evaluate()

    def _train(self) -> None:
        spec, directory = self.specs[0], self.run_dirs[0]
        for line in self.dataset.notes():
            log_line(f"data: {line}")
        split = training_split(self.dataset, spec.data, self.cache)
        if len(split) < spec.recipe.batch_size:
            raise DataError(
                f"{', '.join(spec.data.train)}: {len(split)} training images do not fill a batch "
                f"of {spec.recipe.batch_size}"
            )
        model = self._new_model(find_weights(directory.path, spec.model))
        init = weights_digest(model)
        with lead(self._gpus(), self._rank_command(), self.device) as ranks:
            data = TrainingData(split, self.dataset, spec.recipe, spec.seed, ranks)
            loss = loss_from(spec.loss)
            training = Training(model, loss, data, device=self.device)
            for name, values in training.fitted.items():
                log_line(f"{name}: {', '.join(f'{value:.4g}' for value in values)}")
            environments = self._train_to_the_end(training)

        self.records.write()
        training.finish()
        weights = {name: t.contiguous() for name, t in model.state_dict().items()}
        write_whole(directory.weights, lambda path: save_file(weights, path))
        progress = training.progress
        digests = {"init": init, "order": progress.order, "augment": progress.augment}
        digests |= {"train_data": split.digest, "weights": weights_digest(model)}
        # A training that was resumed in another environment has a digest of all of them.
        digests["env"] = environments[0] if len(environments) == 1 else digest(environments)
        self.scoring.score(model, digests, progress.seconds, training.fitted)
        self._checkpoints().remove()

    def _train_to_the_end(self, training: Training) -> list[str]:
        """Train from the checkpoint to the end; return the digests of all environments so far."""
        checkpoints, environments = self._checkpoints(), [self.environment["digest"]]
        if state := checkpoints.load(self.device):
            training.restore(state)
            environments = list(dict.fromkeys([*state["environments"], *environments]))
            log_line(f"resuming from step {training.progress.step}")
        elif checkpoints.path.exists():
            log_line("the checkpoint is damaged or of other code: starting again")
        spec, interim = self.specs[0], None
        if spec.evaluation.every is not None:
            from bench.evaluation.interim import InterimScores

            pulse = self.heartbeat.pulse
            interim = InterimScores(spec, self.dataset, self.cache, self.device, pulse)
        for step in training.run(self._record):
            self.heartbeat.pulse(step)
            if interim is not None and interim.due(step):
                with training.scored_model() as model:
                    self.records.add(interim.record(model, training.loss, step))
            stopping = self.heartbeat.stop_requested and step < spec.recipe.steps
            if stopping or checkpoints.due or step == spec.recipe.steps:
                self._save(checkpoints, training, environments)
            if stopping:
                raise StoppedError
        return environments

    def _gpus(self) -> int:
        """Return the number of GPUs that train together: all of this process; raises SpecError."""
        recipe, count = self.specs[0].recipe, max(1, torch.cuda.device_count())
        if recipe.batch_size % (count * recipe.accumulate):
            raise SpecError(
                f"recipe.batch_size = {recipe.batch_size} in {recipe.accumulate} parts cannot be "
                f"shared by {count} GPUs"
            )
        return count

    def _rank_command(self) -> list[str]:
        command = [sys.executable, "-P", "-m", "bench.worker.rank", str(self.run_dirs[0].path)]
        threads = max(1, torch.get_num_threads() // max(1, torch.cuda.device_count()))
        command += ["--threads", str(threads)]
        return command + (["--data-root", str(self.data_root)] if self.data_root else [])

    def _checkpoints(self) -> Checkpoints:
        spec = self.specs[0]
        loss = text_of(*loss_modules(spec.loss))["files"]  # of a plug-in: all its files
        mark = {"run_id": spec.run_id, "loss_files": digest(loss), **code_digests(self.environment)}
        if spec.model.is_imported:
            mark["network_files"] = digest(network_text(spec.model)["files"])
        return Checkpoints(self.run_dirs[0].checkpoint, mark)

    def _evaluate(self) -> None:
        """Score the weights of the source training, which is finished."""
        spec = self.specs[0]
        source = RunDir(self.run_dirs[0].path.parent / spec.source.run_id)
        result = source.result()
        if result is None:
            raise DataError(f"{source.path}: the training this evaluation needs is not finished")
        model = self._new_model()
        model.load_state_dict(load_file(source.weights))
        self.scoring.score(model, training_digests(result), result["cost"]["train_s"])

    def _new_model(self, weights: Path | None = None) -> torch.nn.Module:
        # The loss is no part of the seed, so one seed gives every method the same weights.
        spec = self.specs[0]
        seed, classes = torch_seed(spec.seed, "init"), len(self.dataset.class_names)
        return build_model(spec.model, classes, seed=seed, weights=weights)

    def _record(self, record: dict[str, Any]) -> None:
        log_line(
            f"step {record['step']}: "
            f"loss {record['train/loss']:.4f}, train mIoU {record['train/miou']:.3f}"
        )
        self.records.add(record)
        try:
            self.records.write()
        except OSError as error:  # a full disk: the training may still finish
            log_line(f"not recorded yet: {error}")

    def _save(self, checkpoints: Checkpoints, training: Training, environments: list[str]) -> None:
        try:
            # Records first: a resumed training does not repeat those before its checkpoint.
            self.records.write()
            checkpoints.save({**training.state(), "environments": environments})
        except OSError as error:
            log_line(f"no checkpoint: {error}")
