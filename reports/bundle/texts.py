"""The texts of a bundle that follow from its runs: report, README and citation."""

from __future__ import annotations

import tempfile
from pathlib import Path

from bench.manifest import Manifest
from bench.store.snapshot import address
from reports.bundle.cite import citation_files
from reports.bundle.read import unpacked
from reports.render.text import escape_markdown

PAGE = "report/index.html"
KEPT = ("index.html", "tables.md", "tables.csv", "tables.json", "tables.tex", "macros.tex")
"""Files of a report that a bundle holds; segloss report --from writes the others."""
USE = """The whole report is `report/index.html`. This folder is a bundle of segloss-bench: `runs/`
has a JSON file for each run, `counts/` the pixel counts of each image, and `study/` and `profile/`
say what was asked. Inside it:

```sh
segloss verify .             # computes every number again from the counts, and compares
segloss report --from .      # writes the report again, with every figure
segloss sync --from . --root ROOT     # brings the runs into an output folder, to add to them
```
"""


def texts_of(folder: Path) -> dict[str, str]:
    """Return the texts of the bundle in ``folder`` by their names, built from its runs.

    Raises BundleError if the bundle is damaged.
    """
    from reports.report import build_report

    with unpacked(folder) as (bundle, root), tempfile.TemporaryDirectory() as place:
        manifest = bundle.manifest
        files = build_report(
            address(root),
            manifest.study,
            manifest.profile,
            Path(place) / "report",
            command="segloss report --from .",
            rerun=bundle.rerun,
        )
        texts = {f"report/{name}": files.named(name).read_text("utf-8") for name in KEPT}
        return {
            **texts,
            "README.md": _readme(manifest, files.note),
            **citation_files(bundle, files.summary.partition("\n")[0]),
        }


def _readme(manifest: Manifest, note: str) -> str:
    title = escape_markdown(f"{manifest.title} ({manifest.study} on {manifest.profile})")
    return f"# {title}\n\n{note.strip()}\n\n{USE}"
