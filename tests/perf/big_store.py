"""Seconds and memory to read a store of 10,000 runs, and to report on a study of 60 of them.

`python tests/perf/big_store.py [--runs 10000] [--folder FOLDER]`. Needs no test runner and asserts
nothing. The script fabricates the store in a temporary folder, in MLflow's own tables; it trains
nothing. A fresh process on one core measures each line, its imports included.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table as Printed

from bench.manifest import Manifest, Row, TableSpec
from bench.spec import Scalar
from bench.store.client import default_uri
from bench.store.snapshot import percent_name
from bench.store.sqlite import prepare

CLASSES = [f"class {i}" for i in range(11)]
IMAGES = 233
SEEDS = 3
STEPS = range(0, 800, 40)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, help="Parent of the temporary folder.")
    parser.add_argument("--child", choices=CHILDREN, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        began = time.perf_counter()
        what = CHILDREN[options.child](options.folder)
        # Not ru_maxrss, which a process inherits from its parent.
        status = Path("/proc/self/status").read_text()
        peak = int(status.partition("VmHWM:")[2].split()[0]) / 2**10
        json.dump([time.perf_counter() - began, time.process_time(), peak, what], sys.stderr)
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        show(Path(folder), options.runs)


def show(root: Path, runs: int) -> None:
    small = made_up("small", rows=60 // SEEDS)
    large = made_up("large", rows=(runs - 60) // SEEDS)
    build(root, [large, small])
    others = sum(len(row.run_ids) for row in large.rows.values())
    table = Printed("", "s", "CPU s", "MB", "", box=None, pad_edge=False)
    seconds = {}
    for name in CHILDREN:
        wall, seconds[name], peak, what = child(name, root)
        table.add_row(name, f"{wall:.2f}", f"{seconds[name]:.2f}", f"{peak:.0f}", what)
    console = Console(highlight=False)
    console.print(f"{others + 60} runs in one sqlite file, each process on one core:")
    console.print(table)
    ratio = seconds["mlflow.search_runs"] / seconds["frame"]
    console.print(f"The frame takes 1/{ratio:.0f} of the CPU time that mlflow.search_runs takes.")


def child(name: str, root: Path) -> tuple[float, float, float, str]:
    command = [sys.executable, __file__, "--child", name, "--folder", str(root)]
    variables = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        ["taskset", "-c", str(min(os.sched_getaffinity(0))), *command],
        env=variables,
        capture_output=True,
        text=True,
        check=True,
    )
    wall, cpu, peak, what = json.loads(done.stderr.splitlines()[-1])
    return wall, cpu, peak, what


def made_up(study: str, rows: int) -> Manifest:
    """Return the manifest of a fabricated study with ``rows`` rows, CE among them."""
    made = []
    for i in range(rows):
        settings: dict[str, Scalar] = {"loss.name": "ce"}
        if i:
            settings = {"loss.name": "rmi", "loss.lambda_": i / rows, "loss.region_size": 3}
        label = f"RMI lambda_={i / rows:.5f}" if i else "CE"
        ids = tuple(f"{study}-{i:05}-{seed}" for seed in range(SEEDS))
        made.append(Row(label=label, method=label.split()[0], settings=settings, run_ids=ids))
    table = TableSpec(
        key="1", title="Made up", columns=("loss.lambda_", "miou", "infer_ms"), rows=tuple(made)
    )
    return Manifest(
        study=study,
        profile="p",
        title="Made up",
        scale="nothing trained",
        metric="miou_11",
        seeds=tuple(range(SEEDS)),
        comparison_key="k",
        settings={"data.name": "camvid", "model.head": "deeplabv3plus"},
        tables=(table,),
    )


def build(root: Path, manifests: list[Manifest]) -> None:
    """Write the studies into MLflow's tables; the last one also gets its files."""
    uri = default_uri(root)
    prepare(uri)
    with closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as connection, connection:
        for number, manifest in enumerate(manifests, start=1):
            write_study(connection, root, number, manifest, files=manifest is manifests[-1])


def write_study(
    connection: sqlite3.Connection, root: Path, number: int, manifest: Manifest, *, files: bool
) -> None:
    folder = root / "artifacts" / manifest.name
    connection.execute(
        "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage,"
        " creation_time, last_update_time) VALUES (?, ?, ?, 'active', 0, 0)",
        (number, f"{manifest.study}/{manifest.profile}", folder.as_uri()),
    )
    study = f"{number:031}s"
    insert_run(connection, study, number, folder)
    place = folder / study / "artifacts"
    place.mkdir(parents=True)
    (place / "manifest.json").write_text(manifest.model_dump_json())
    tags = [("segloss.role", "study", study), ("mlflow.runName", "study", study)]
    params, metrics, history = [], [], []
    random = np.random.default_rng(number)
    for count, (row, seed, run_id) in enumerate(runs_of(manifest)):
        run = f"{number:02}{count:030}"
        insert_run(connection, run, number, folder)
        score = 0.0
        if files:
            score = write_files(folder / run / "artifacts", random)
        values = {
            "final/miou_11": score or 0.5 + 0.1 * random.random(),
            "final/pixel_accuracy": 0.9,
        }
        values |= {f"iou/{name}": random.random() for name in CLASSES}
        values |= {
            percent_name(*key.split("/", 1)): round(100 * value, 2) for key, value in values.items()
        }
        values |= {"cost/train_s": 600.0, "cost/infer_ms": 12.0, "cost/peak_mem_mb": 900.0}
        values |= {"train/loss": 0.3, "train/miou": 0.6, "train/lr": 0.0}
        metrics += [(key, float(f"{value:.5f}"), run) for key, value in values.items()]
        if files:
            history += [
                (key, 1 / (step + 1), run, step)
                for key in ("train/loss", "train/miou")
                for step in STEPS
            ]
        shown = {"method": row.method, "label": row.label, "seed": seed, **row.settings}
        shown |= {f"recipe.option_{i}": str(i) for i in range(35)}
        params += [(key, str(value), run) for key, value in shown.items()]
        found = {
            "segloss.role": "train",
            "segloss.run_id": run_id,
            "segloss.status": "finished",
            "segloss.classes": json.dumps(CLASSES),
            "segloss.result": f"{count:012}",
        }
        found |= {f"segloss.digest.{name}": f"{seed}" for name in ("init", "order", "augment")}
        found |= {f"segloss.digest.{name}": name for name in ("data", "train_data", "code", "env")}
        tags += [(key, value, run) for key, value in found.items()]
    connection.executemany("INSERT INTO tags (key, value, run_uuid) VALUES (?, ?, ?)", tags)
    connection.executemany("INSERT INTO params (key, value, run_uuid) VALUES (?, ?, ?)", params)
    connection.executemany(
        "INSERT INTO latest_metrics (key, value, run_uuid, timestamp, step, is_nan)"
        " VALUES (?, ?, ?, 0, 0, 0)",
        metrics,
    )
    connection.executemany(
        "INSERT INTO metrics (key, value, run_uuid, timestamp, step, is_nan)"
        " VALUES (?, ?, ?, 0, ?, 0)",
        [*((key, value, run, 0) for key, value, run in metrics), *history],
    )


def runs_of(manifest: Manifest) -> Iterator[tuple[Row, int, str]]:
    for row in manifest.rows.values():
        for seed, run_id in zip(manifest.seeds, row.run_ids, strict=True):
            yield row, seed, run_id


def insert_run(connection: sqlite3.Connection, run: str, experiment: int, folder: Path) -> None:
    connection.execute(
        "INSERT INTO runs (run_uuid, name, source_type, user_id, status, start_time, end_time,"
        " lifecycle_stage, artifact_uri, experiment_id)"
        " VALUES (?, 'r', 'LOCAL', 'u', 'FINISHED', 0, 1, 'active', ?, ?)",
        (run, (folder / run / "artifacts").as_uri(), experiment),
    )


def write_files(folder: Path, random: np.random.Generator) -> float:
    """Write per-image matrices as large as CamVid's and return their mIoU."""
    k = len(CLASSES)
    matrices = random.integers(0, 300, (IMAGES, k, k), dtype=np.int32)
    matrices += np.eye(k, dtype=np.int32) * random.integers(3_000, 9_000, (IMAGES, k, 1))
    folder.mkdir(parents=True)
    ids = np.array([f"image {i}" for i in range(IMAGES)])
    np.savez_compressed(folder / "confusion.npz", ids=ids, matrices=matrices)
    total = matrices.sum(0)
    hits = total.diagonal()
    return float((hits / (total.sum(0) + total.sum(1) - hits)).mean())


def frame(root: Path) -> str:
    from reports.stored import read_frame

    return "{} lines, {} columns".format(*read_frame(default_uri(root), "large", "p")[1].shape)


def search_runs(root: Path) -> str:
    import mlflow

    mlflow.set_tracking_uri(default_uri(root))
    found = mlflow.search_runs(["1"], max_results=50_000)
    return "{} lines, {} columns".format(*found.shape)


def report(root: Path) -> str:
    from reports.report import build_report

    files = build_report(default_uri(root), "small", "p", root / "report")
    return f"{files.index.stat().st_size / 1e6:.2f} MB page"


CHILDREN = {
    "frame": frame,
    "mlflow.search_runs": search_runs,
    "report of 60 runs": report,
}


if __name__ == "__main__":
    main()
