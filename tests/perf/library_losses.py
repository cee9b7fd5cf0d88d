"""The losses of installed packages that keep the contract, as the tables of docs/losses.md.

    python tests/perf/library_losses.py segmentation_models_pytorch.losses monai.losses

Each class is tried on batches of four classes, in both calls. Install the packages first.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path

import torch

from losses.packages.installed import package_of

sys.path.insert(0, str(Path(__file__).parent.parent / "fixtures"))
from library_verdicts import OPTIONS, losses_of, verdict  # pyright: ignore[reportMissingImports]


def main() -> None:
    """Print for each module the losses that pass with their call, then the others."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="+", help="such as kornia.losses")
    warnings.simplefilter("ignore")
    for module in parser.parse_args().modules:
        version = torch.__version__.partition("+")[0]
        lines = ["", f"`{module}` ({package_of(f'{module}:any')}, torch {version})", ""]
        lines += ["| class | `loss.call` | options |", "|---|---|---|"]
        found = [verdict(module, name) for name in losses_of(module)]
        for name, call, fault in found:
            if fault is None:
                options = OPTIONS.get(f"{module}:{name}", {})
                given = ", ".join(f"`{key} = {value}`" for key, value in options.items())
                lines.append(f"| {name} | {call} | {given} |")
        lines += ["", "| class | refused because |", "|---|---|"]
        for name, _, fault in found:
            if fault is not None:
                lines.append(f"| {name} | {fault.rpartition('it raises ')[2]} |")
        sys.stdout.write("\n".join([*lines, ""]))


if __name__ == "__main__":
    main()
