"""Time and memory of `segloss data check` and `segloss data init` over a bare decode of the files.

`python tests/perf/folder_survey.py [--images 10000] [--size 240 320] [--rounds 3]`. Needs no test
runner and asserts nothing. The script draws the folder itself: JPEG images and PNG masks of nine
classes. A fresh process measures each line, and the lines take turns. Each shows its fastest round,
because other programs on the machine only ever add time. All decode in the same number of threads;
the bare decode is a thread pool's map of PIL over the files.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table as Printed

import bench.cli.views.data  # noqa: F401 (before the clock starts)
from bench.cli import data as verbs
from bench.data.reading import decode
from bench.data.scenes.dataset import draw_scene
from bench.data.survey.profile import write_profile

DIFFERENT = 50
"""Number of different scenes; the files of a folder repeat them."""
NOISE = 6.0
"""Standard deviation of the noise in grey levels; a JPEG then has 2.5 bits a pixel."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--size", type=int, nargs=2, default=(240, 320), help="Height and width.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="Parent of the temporary folder.")
    parser.add_argument("--child", choices=CHILDREN, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        began, before = time.perf_counter(), time.process_time()
        CHILDREN[options.child](options.folder)
        wall, cpu = time.perf_counter() - began, time.process_time() - before
        # Not ru_maxrss, which a process inherits from its parent.
        status = Path("/proc/self/status").read_text()
        json.dump([wall, cpu, int(status.partition("VmHWM:")[2].split()[0]) / 2**10], sys.stderr)
        return
    console = Console(highlight=False)
    for count in (options.images // 10, options.images):
        with tempfile.TemporaryDirectory(dir=options.folder) as place:
            draw(Path(place), count, *options.size)
            found = measured(Path(place), options.rounds)
        console.print(f"{count} images of {options.size[0]} x {options.size[1]}")
        console.print(table(found, count))


def table(found: dict[str, tuple[float, ...]], count: int) -> Printed:
    """Return a line for each child: ms an image, as a multiple of a bare decode, and the memory."""
    rows = Printed("", "ms", "CPU ms", "x decode", "x CPU", "peak MB", box=None, pad_edge=False)
    for name, (wall, cpu, peak) in found.items():
        ratios = (wall / found["decode"][0], cpu / found["decode"][1])
        each = (1e3 * wall / count, 1e3 * cpu / count, *ratios)
        rows.add_row(name, *(f"{value:.2f}" for value in each), f"{peak:.0f}")
    return rows


def measured(place: Path, rounds: int) -> dict[str, tuple[float, ...]]:
    """Return the least wall seconds, CPU seconds and peak memory in MB, by child."""
    samples: dict[str, list[list[float]]] = {name: [] for name in CHILDREN}
    for _ in range(rounds):
        for name in CHILDREN:
            samples[name].append(child(name, place))
    return {
        name: tuple(min(values) for values in zip(*taken, strict=True))
        for name, taken in samples.items()
    }


def child(name: str, place: Path) -> list[float]:
    command = [sys.executable, __file__, "--child", name, "--folder", str(place)]
    variables = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{name}: {done.stderr}")
    return json.loads(done.stderr.splitlines()[-1])


def draw(place: Path, count: int, height: int, width: int) -> None:
    """Write ``count`` images and masks, and the profile that `segloss data check` reads."""
    (place / "data" / "images").mkdir(parents=True)
    (place / "data" / "masks").mkdir()
    for number in range(min(DIFFERENT, count)):
        image, label = (
            Image.fromarray(part).resize((width, height), method)
            for part, method in zip(
                draw_scene("train", number),
                (Image.Resampling.BICUBIC, Image.Resampling.NEAREST),
                strict=True,
            )
        )
        image = noisy(image, number)
        files = encoded(image, format="JPEG", quality=90), encoded(label, format="PNG")
        for copy in range(number, count, DIFFERENT):
            (place / "data" / "images" / f"{copy:06}.jpg").write_bytes(files[0])
            (place / "data" / "masks" / f"{copy:06}.png").write_bytes(files[1])
    write_profile(place / "data", place / "profile.toml")


def noisy(image: Image.Image, seed: int) -> Image.Image:
    """Return the image with a sensor's noise, without which a JPEG decodes faster than a photo."""
    noise = np.random.default_rng(seed).normal(0, NOISE, (image.height, image.width, 3))
    return Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))


def encoded(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, **options)  # pyright: ignore (options by name)
    return buffer.getvalue()


def bare_decode(place: Path) -> None:
    images, masks = (sorted((place / "data" / name).iterdir()) for name in ("images", "masks"))

    def both(pair: tuple[Path, Path]) -> None:
        for path in pair:
            decode(path)

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for _ in pool.map(both, zip(images, masks, strict=True)):
            pass


def check(place: Path) -> None:
    with redirect_stdout(io.StringIO()):
        verbs.check(str(place / "profile.toml"))


def init(place: Path) -> None:
    out = place / "again.toml"
    out.unlink(missing_ok=True)
    with redirect_stdout(io.StringIO()):
        verbs.init(place / "data", out)


CHILDREN: dict[str, Callable[[Path], None]] = {"decode": bare_decode, "check": check, "init": init}

if __name__ == "__main__":
    main()
