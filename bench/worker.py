"""Execute one training, or the CRF evaluations of one training, given their run directories.

`python -m bench.worker RUN_DIR [RUN_DIR …]` needs nothing but the run directories and the data.
Exit codes: 0 the runs ended (finished or diverged), 75 stopped and resumable, 78 refused, 1 failed.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from bench.build import check_run, loss_of
from bench.checkpoint import load_checkpoint, save_checkpoint
from bench.datasets import evaluation_split, open_dataset, training_split
from bench.engine import Training, TrainingData, evaluate, predict, weights_digest
from bench.environment import device_name, environment, peak_memory_mb
from bench.errors import DataError, DivergedError, HeldError, SeglossError, StoppedError
from bench.lease import is_alive, own_lease
from bench.metrics import ConfusionMatrix
from bench.models import SegmentationModel, build_model
from bench.pictures import ShownImages
from bench.rundir import RunDir, write_json, write_whole
from bench.samples import SegmentationDataset, Split
from bench.seeding import torch_seed
from bench.spec import RunSpec, digest
from losses import find_loss
from postproc.dense_crf import DenseCRF

STOPPED, REFUSED, FAILED = 75, 78, 1
HEARTBEAT_SECONDS = 2.0
CHECKPOINT_SECONDS = 60.0


class Worker:
    """One process at work on run directories that share their source training."""

    def __init__(
        self, run_dirs: list[RunDir], data_root: Path | None, threads: int, parent: int
    ) -> None:
        self.run_dirs = run_dirs
        self.data_root = data_root
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.threads = threads
        self.parent = parent
        self.asked_to_stop = False
        self.last_heartbeat = self.last_checkpoint = time.monotonic()

    def run(self) -> None:
        """Take the leases, do the work, and leave results or the reason why there are none."""
        specs = [directory.spec() for directory in self.run_dirs]
        for state in (directory.state() for directory in self.run_dirs):
            if state.status == "running" and state.lease and is_alive(state.lease):
                raise HeldError
        loss = find_loss(specs[0].loss.name)
        self.environment = environment(device_name(self.device), self.threads, loss)
        for directory, spec in zip(self.run_dirs, specs, strict=True):
            directory.write_state(
                status="running", reason=None, lease=own_lease(), steps=spec.recipe.steps
            )
            write_json(directory.path / "env.json", self.environment)
        check_run(specs[0])
        dataset = open_dataset(specs[0].data, self.data_root)
        if specs[0].crf is None:
            self._train(specs[0], dataset)
        else:
            self._refine(specs, dataset)

    def _train(self, spec: RunSpec, dataset: SegmentationDataset) -> None:
        directory = self.run_dirs[0]
        split = training_split(dataset, spec.data)
        if len(split) < spec.recipe.batch_size:
            raise DataError(
                f"{', '.join(spec.data.train)}: {len(split)} training images do not fill a batch "
                f"of {spec.recipe.batch_size}"
            )
        model = self._new_model(spec, dataset)
        init = weights_digest(model)
        data = TrainingData(split, dataset, spec.recipe, spec.seed)
        training = Training(model, loss_of(spec.loss), data, device=self.device)
        state = load_checkpoint(directory.checkpoint, device=self.device)
        same = {"run_id": spec.run_id, "code": self.environment["code"]}
        environments = [self.environment["digest"]]
        if state is not None and same.items() <= state.items():
            training.restore(state)
            environments = list(dict.fromkeys([*state["environments"], *environments]))
            print(f"going on from step {training.progress.step}", flush=True)
        elif state is not None:
            print("the checkpoint is of other code: from the start", flush=True)

        for step in training.run(lambda record: self._record(directory, record)):
            self._beat(step)
            stopping = self.asked_to_stop and step < spec.recipe.steps
            due = time.monotonic() - self.last_checkpoint > CHECKPOINT_SECONDS
            if stopping or due or step == spec.recipe.steps:
                save_checkpoint(
                    directory.checkpoint, {**training.state(), **same, "environments": environments}
                )
                self.last_checkpoint = time.monotonic()
            if stopping:
                raise StoppedError

        weights = {name: t.contiguous() for name, t in model.state_dict().items()}
        write_whole(directory.weights, lambda path: save_file(weights, path))
        progress = training.progress
        digests = {"init": init, "order": progress.order, "augment": progress.augment}
        digests |= {"train_data": split.digest, "weights": weights_digest(model)}
        # A training that went on elsewhere has an environment of its own.
        digests["env"] = environments[0] if len(environments) == 1 else digest(environments)
        self._evaluate(spec, dataset, model, digests, {"train_s": progress.seconds})
        directory.checkpoint.unlink(missing_ok=True)

    def _evaluate(
        self,
        spec: RunSpec,
        dataset: SegmentationDataset,
        model: SegmentationModel,
        digests: dict[str, str],
        cost: dict[str, float],
    ) -> None:
        split = evaluation_split(dataset, spec.data)
        shown = ShownImages(split, dataset)
        seconds: list[float] = []

        def predictions() -> Iterator[tuple[int, Tensor]]:
            for prediction in predict(model, split, dataset, device=self.device):
                self._beat()
                labels = prediction.logits.max(0).indices
                seconds.append(prediction.seconds)
                shown.keep(self.run_dirs[0], prediction.index, labels.cpu().numpy())
                yield prediction.index, labels

        matrix = evaluate(predictions(), split, len(dataset.class_names))
        self._finish(self.run_dirs[0], spec, dataset, split, matrix, digests, cost, seconds)

    def _refine(self, specs: list[RunSpec], dataset: SegmentationDataset) -> None:
        """Evaluate the source's weights under the CRF, every step count out of one pass."""
        source = RunDir(self.run_dirs[0].path.parent / specs[0].source.run_id)
        result = source.result()
        if result is None:
            raise DataError(f"{source.path}: the training this evaluation needs is not finished")
        model = self._new_model(specs[0], dataset)
        model.load_state_dict(load_file(source.weights))
        first = specs[0].crf
        assert first is not None
        steps = tuple(spec.crf.steps for spec in specs if spec.crf is not None)
        crf = DenseCRF(steps=steps, **first.model_dump(exclude={"version", "steps"}))
        loss = loss_of(specs[0].loss)

        split = evaluation_split(dataset, specs[0].data)
        entries = {entry.id: entry for entry in dataset.entries(specs[0].data.evaluate)}
        shown = ShownImages(split, dataset)
        matrices = {count: ConfusionMatrix(len(dataset.class_names)) for count in steps}
        seconds: dict[int, list[float]] = {count: [] for count in steps}
        by_steps = dict(zip(steps, self.run_dirs, strict=True))
        for prediction in predict(model, split, dataset, device=self.device):
            self._beat()
            image = entries[split.ids[prediction.index]].read().image  # as stored, not resized
            started = time.perf_counter()
            scoring = 0.0
            probabilities = loss.probabilities(prediction.logits[None])[0].cpu().numpy()
            truth = torch.from_numpy(split.labels[prediction.index]).long()
            for count, labels in crf.snapshots(image, probabilities):
                reached = time.perf_counter()
                seconds[count].append(prediction.seconds + reached - started - scoring)
                matrices[count].update(torch.from_numpy(labels).long(), truth)
                shown.keep(by_steps[count], prediction.index, labels)
                scoring += time.perf_counter() - reached

        cost = {"train_s": result["cost"]["train_s"]}
        digests = {k: v for k, v in result["digests"].items() if k not in ("code", "env", "data")}
        for spec, directory in zip(specs, self.run_dirs, strict=True):
            assert spec.crf is not None
            count = spec.crf.steps
            self._finish(
                directory, spec, dataset, split, matrices[count], digests, cost, seconds[count]
            )

    def _new_model(self, spec: RunSpec, dataset: SegmentationDataset) -> SegmentationModel:
        # The loss has no say in it, so one seed gives every method the same weights.
        seed = torch_seed(spec.seed, "init")
        return build_model(spec.model, len(dataset.class_names), seed=seed)

    def _finish(
        self,
        directory: RunDir,
        spec: RunSpec,
        dataset: SegmentationDataset,
        split: Split,
        matrix: ConfusionMatrix,
        digests: dict[str, str],
        cost: dict[str, float],
        seconds: list[float],
    ) -> None:
        matrices = torch.stack(matrix.per_image).to(torch.int32).numpy()
        write_whole(
            directory.confusion,
            lambda path: np.savez_compressed(path, ids=np.array(split.ids), matrices=matrices),
        )
        iou = [None if np.isnan(value) else float(value) for value in matrix.iou()]
        result: dict[str, Any] = {
            "run_id": spec.run_id,
            "metrics": dataset.scores(matrix.total.numpy()),
            "class_iou": dict(zip(dataset.class_names, iou, strict=True)),
            "classes": list(dataset.class_names),
            "palette": dataset.palette.tolist(),
            "digests": {
                "env": self.environment["digest"],
                **digests,
                "data": split.digest,
                "code": self.environment["code"],
            },
            "cost": {
                **cost,
                "evaluate_s": sum(seconds),
                "infer_ms": 1e3 * float(np.median(seconds)),
                "peak_mem_mb": peak_memory_mb(self.device),
            },
        }
        write_json(directory.path / "result.json", result)
        directory.write_state(status="finished", reason=None, lease=None, step=spec.recipe.steps)

    def _record(self, directory: RunDir, record: dict[str, Any]) -> None:
        directory.append_metrics({"time": time.time(), **record})
        print(
            f"step {record['step']}: "
            f"loss {record['train/loss']:.4f}, train mIoU {record['train/miou']:.3f}",
            flush=True,
        )

    def _beat(self, step: int | None = None) -> None:
        """Say now and then that this process lives; stop where its scheduler does not."""
        if time.monotonic() - self.last_heartbeat < HEARTBEAT_SECONDS:
            return
        self.last_heartbeat = time.monotonic()
        self.asked_to_stop |= os.getppid() != self.parent
        for directory in self.run_dirs:
            directory.write_state(**({} if step is None else {"step": step}))
        if self.asked_to_stop and step is None:
            raise StoppedError  # an evaluation has nothing to keep


def _reason(error: BaseException) -> str:
    kind = "oom" if isinstance(error, (MemoryError, torch.OutOfMemoryError)) else "crash"
    return f"{kind}: {type(error).__name__}: {error}"


def main(arguments: list[str] | None = None) -> int:
    """Run the worker; returns its exit code."""
    parser = argparse.ArgumentParser(prog="bench.worker", description=__doc__)
    parser.add_argument("run_dirs", nargs="+", type=Path)
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--parent", type=int, default=os.getppid(), help="ends when this ends")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    torch.use_deterministic_algorithms(True, warn_only=torch.cuda.is_available())
    # Filling fresh memory is for finding bugs; it costs a seventh of a step and changes no result.
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore (set up late)

    directories = [RunDir(path.resolve()) for path in options.run_dirs]
    worker = Worker(directories, options.data_root, options.threads, options.parent)
    signal.signal(signal.SIGTERM, lambda *_: setattr(worker, "asked_to_stop", True))
    try:
        worker.run()
    except HeldError:
        return STOPPED  # and not a word about a run that is another's
    except StoppedError:
        return _end(directories, "interrupted", "stopped", STOPPED)
    except DivergedError as error:
        return _end(directories, "diverged", str(error), 0)
    except SeglossError as error:
        return _end(directories, "failed", str(error), REFUSED)
    except Exception as error:
        traceback.print_exc()
        return _end(directories, "failed", _reason(error), FAILED)
    return 0


def _end(directories: list[RunDir], status: str, reason: str, code: int) -> int:
    for directory in directories:
        directory.write_state(status=status, reason=reason, lease=None)
    return code


if __name__ == "__main__":
    sys.exit(main())
