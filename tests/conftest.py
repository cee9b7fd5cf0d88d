"""A made-up study on disk and in a store, for everything that reads one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from bench.files import write_json
from bench.manifest import Manifest, Row, TableSpec
from bench.runs.rundir import RunDir, run_dir
from bench.spec import CRFSpec, DataSpec, LossSpec, ModelSpec, RecipeSpec, RunSpec, Scalar
from bench.store.client import default_uri
from bench.store.mirror import Mirror

HOSTILE = r"<script>alert(1)</script> & 100% $x_1$ {#} ~^\ | **b** [l](u)"
CLASSES = ("sky", "building", "pole", "sign symbol")
SEEDS = (0, 1, 2)
RMI: dict[str, Scalar] = {
    "loss.name": "rmi",
    "loss.region_size": 3,
    "loss.downsample_factor": 4,
    "loss.pooling": "avg",
    "loss.lambda_": 0.5,
}


class Store(NamedTuple):
    """A study that was mirrored."""

    uri: str
    root: Path
    manifest: Manifest


def spec_of(settings: dict[str, Scalar], seed: int) -> RunSpec:
    """The run of a row's settings at a seed."""
    options = {
        key.removeprefix("loss."): value
        for key, value in settings.items()
        if key.startswith("loss.") and key != "loss.name"
    }
    steps = settings.get("crf.steps")
    return RunSpec(
        data=DataSpec(name="camvid", image_size=(24, 32)),
        model=ModelSpec(backbone="resnet18"),
        recipe=RecipeSpec(steps=40, batch_size=4, crop_size=(24, 32), lr=0.1),
        loss=LossSpec(name=str(settings["loss.name"]), options=options),
        seed=seed,
        crf=None if steps is None else CRFSpec(steps=int(steps)),
    )


def row(label: str, method: str, settings: dict[str, Scalar]) -> Row:
    """A row with its runs for ``SEEDS``."""
    ids = tuple(spec_of(settings, seed).run_id for seed in SEEDS)
    return Row(label=label, method=method, settings=settings, run_ids=ids)


def make_manifest() -> Manifest:
    """Two tables that share one row; a method's name is markup in every language we print."""
    rmi = row("RMI", "RMI", RMI)
    losses = (
        row("CE", "CE", {"loss.name": "ce"}),
        row("BCE", "BCE", {"loss.name": "bce"}),
        row("CE & CRF-5", "CE & CRF-5", {"loss.name": "ce", "crf.steps": 5}),
        row("Affinity", "Affinity", {"loss.name": "affinity", "loss.size": 1}),
        row(HOSTILE, HOSTILE, {"loss.name": "hostile"}),
        rmi,
    )
    factors = tuple(
        row(f"RMI df={df}", "RMI", {**RMI, "loss.downsample_factor": df}) for df in (2, 6)
    )
    return Manifest(
        study="losses",
        profile="tiny",
        title="Losses compared",
        scale="CamVid test, 6 images of 24 x 32 pixels, 40 steps",
        metric="miou_11",
        seeds=SEEDS,
        comparison_key=spec_of(RMI, 0).comparison_key,
        settings={
            "data.name": "camvid",
            "data.train_images": None,
            "model.head": "deeplabv3plus",
            "recipe.steps": 40,
            "evaluation.every": 10,
        },
        tables=(
            TableSpec(
                key="1",
                title="Losses compared",
                paper="1a",
                columns=("infer_ms", "miou", "class_iou"),
                rows=losses,
            ),
            TableSpec(
                key="3a",
                title="Downsampling factor",
                paper="3a",
                columns=("loss.pooling", "loss.downsample_factor", "miou"),
                rows=(factors[0], rmi, factors[1]),
                x="loss.downsample_factor",
            ),
        ),
    )


def finish(
    root: Path,
    spec: RunSpec,
    settings: dict[str, Scalar],
    *,
    size: tuple[int, int] = (24, 32),
    digests: dict[str, str] | None = None,
    classes: tuple[str, ...] = CLASSES,
) -> None:
    """Leave what a finished run leaves, with numbers that depend on the spec alone."""
    directory = run_dir(root, spec.run_id)
    directory.create(spec)
    random = np.random.default_rng(int(spec.run_id, 16))
    base = 0.46 + 0.03 * (spec.loss.name == "rmi") + 0.004 * spec.seed
    ious = np.clip(
        base + random.normal(0, 0.01, len(classes)) + np.linspace(0.3, -0.3, len(classes)), 0, 1
    )
    for step in () if spec.crf else range(10, 50, 10):
        line = {
            "step": step,
            "time": 1e9 + step,
            "train/loss": 3 / step,
            "train/miou": base * step / 40,
            "eval/miou_11": base * step / 50,
        }
        directory.append_metrics(line)
    _draw(directory.predictions, size, random, len(classes))
    write_json(
        directory.path / "result.json",
        {
            "run_id": spec.run_id,
            "metrics": {"miou_11": float(ious.mean()), "pixel_accuracy": 0.8},
            "class_iou": {name: float(iou) for name, iou in zip(classes, ious, strict=True)},
            "settings": settings,
            "digests": {
                "init": f"init{spec.seed}",
                "order": f"order{spec.seed}",
                "augment": f"augment{spec.seed}",
                "data": "camvid-data",
                "code": "code",
                "env": "env",
                **(digests or {}),
            },
            "cost": {"train_s": 200.0 + 10 * spec.seed, "infer_ms": 12.34, "peak_mem_mb": 900.0},
            "classes": list(classes),
        },
    )
    directory.path.joinpath("log.txt").write_text("done\n")
    directory.write_state(status="finished", step=40, steps=40)


def _draw(folder: Path, size: tuple[int, int], random: Any, classes: int) -> None:
    height, width = size
    palette = np.random.default_rng(0).integers(40, 230, (classes, 3), dtype=np.uint8)
    folder.mkdir()
    y, x = np.mgrid[:height, :width]
    for i in range(2):
        fixed = np.random.default_rng(i)
        truth = np.zeros(size, dtype=int)
        for k in range(1, classes):
            cy, cx = fixed.uniform(0, height), fixed.uniform(0, width)
            truth[(y - cy) ** 2 + (x - cx) ** 2 < (height / (2 + k)) ** 2] = k
        shift = tuple(random.integers(-height // 12, height // 12 + 1, 2))
        image = np.clip(palette[truth] * 0.6 + fixed.normal(60, 12, (*size, 3)), 0, 255)
        pictures = {
            "image": image.astype(np.uint8),
            "truth": palette[truth],
            "prediction": palette[np.roll(truth, shift, (0, 1))],
        }
        for kind, pixels in pictures.items():
            Image.fromarray(pixels).save(folder / f"Seq05VD_f{i}.{kind}.png")


def make_root(root: Path, manifest: Manifest, **options: Any) -> None:
    """Run directories in every state: of Affinity one diverged, one failed and one waits."""
    for row in manifest.rows.values():
        for seed in manifest.seeds:
            spec = spec_of(row.settings, seed)
            assert spec.run_id == row.run_ids[manifest.seeds.index(seed)]
            if row.label != "Affinity":
                odd = {"augment": "other"} if (row.label, seed) == ("BCE", 1) else None
                finish(root, spec, row.settings, digests=odd, **options)
    diverged, failed, queued = (
        run_dir(root, run_id) for run_id in manifest.rows["Affinity"].run_ids
    )
    for i, directory in enumerate((diverged, failed, queued)):
        directory.create(spec_of(manifest.rows["Affinity"].settings, manifest.seeds[i]))
    diverged.append_metrics({"step": 10, "time": 1e9, "train/loss": float("nan")})
    diverged.write_state(status="diverged", reason="loss is nan at step 10")
    failed.write_state(status="failed", reason="oom: 3 GB wanted")


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The made-up study in a sqlite store; a test that changes anything makes its own."""
    root = tmp_path_factory.mktemp("study")
    manifest = make_manifest()
    make_root(root, manifest)
    uri = default_uri(root)
    Mirror(uri, root / "artifacts").sync(root, manifest)
    return Store(uri, root, manifest)


class Fresh(NamedTuple):
    """A small study of which nothing has run, and the store it goes to."""

    uri: str
    root: Path
    manifest: Manifest
    mirror: Mirror

    def directory(self, label: str, seed: int) -> RunDir:
        """The run directory of a row at a seed, made if need be."""
        row = self.manifest.rows[label]
        directory = run_dir(self.root, row.run_ids[seed])
        directory.create(spec_of(row.settings, seed))
        return directory

    def finish(self, label: str, seed: int) -> RunDir:
        """The same, with everything a finished run leaves."""
        settings = self.manifest.rows[label].settings
        finish(self.root, spec_of(settings, seed), settings)
        return self.directory(label, seed)

    def sync(self) -> int:
        """Mirror once."""
        return self.mirror.sync(self.root, self.manifest)


@pytest.fixture
def fresh(store: Store, tmp_path: Path, request: pytest.FixtureRequest) -> Fresh:
    """A study of its own in the shared database, whose making takes seconds."""
    whole = make_manifest()
    table = whole.tables[0].model_copy(
        update={"rows": tuple(row for row in whole.tables[0].rows if row.label in ("CE", "RMI"))}
    )
    name = request.node.name
    manifest = whole.model_copy(update={"study": name, "tables": (table,)})
    return Fresh(store.uri, tmp_path, manifest, Mirror(store.uri, tmp_path / "artifacts"))
