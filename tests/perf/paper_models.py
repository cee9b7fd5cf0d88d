"""The paper's models at full size on a CPU: one step of batch 2 and one evaluation image each.

    python tests/perf/paper_models.py

ResNet-101 (deep stem, random weights) under DeepLabv3 and DeepLabv3+, on crops of 513 (VOC, 21
classes, 375 x 500) and 479 (CamVid, 12 classes, 360 x 480). The images are noise.
"""

from __future__ import annotations

import argparse
import resource
import sys
from pathlib import Path

import torch

from bench.models.deeplab import build_model
from bench.spec import ModelSpec

sys.path.insert(0, str(Path(__file__).parent.parent / "fixtures"))
from one_step import step_and_image  # pyright: ignore[reportMissingImports]

DATA = {513: (21, (375, 500)), 479: (12, (360, 480))}


def main() -> None:
    """Run each combination of backbone, head and data set, and print a line for it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbones", nargs="+", default=["resnet101s", "resnet101c"])
    for backbone in parser.parse_args().backbones:
        for head in ("deeplabv3", "deeplabv3plus"):
            for crop, (classes, image) in DATA.items():
                report(backbone, head, crop, classes, image)


def report(backbone: str, head: str, crop: int, classes: int, image: tuple[int, int]) -> None:
    """Print parameters, size of the deepest map, loss, seconds and the process's peak memory."""
    spec = ModelSpec.model_validate(
        {"backbone": backbone, "head": head, "pretrained": False, "dilated": False}
        | {"align_corners": True, "batch_norm_momentum": 0.05, "decoder_dropout": 0.1}
    )
    model = build_model(spec, classes, seed=0)
    with torch.inference_mode():
        deepest = model.eval().backbone(torch.zeros(1, 3, crop, crop))[-1].shape[-1]
    found = step_and_image(model, crop, image, classes)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(  # noqa: T201
        f"{backbone} {head} {crop}: {parameters:,} parameters, {deepest} x {deepest} deep, "
        f"loss {found['loss']:.2f}, step {found['step_s']:.1f} s, "
        f"image {found['image_s']:.1f} s, peak so far {peak:.1f} GiB",
        flush=True,
    )


if __name__ == "__main__":
    main()
