"""The verb ui: MLflow's pages, in a browser."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.options import DEFAULT_ROOT, RootOption, StoreOption

if TYPE_CHECKING:
    from bench.manifest import Manifest

DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
"""Variables of a Unix session that has a browser with a window."""


def ui(
    root: RootOption = DEFAULT_ROOT,
    store: StoreOption = None,
    port: Annotated[int, typer.Option(min=1024, max=65535)] = 5000,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Print the addresses, open no browser.")
    ] = False,
) -> None:
    """Open the runs in MLflow, in a browser on this machine."""
    import webbrowser

    from bench.store.client import StoreError, default_uri
    from bench.store.pages import view_url
    from bench.store.places import store_for_pages
    from bench.store.reading import read_study
    from bench.store.server import check_port, serving

    root = root.resolve()
    uri, base = store or default_uri(root), f"http://127.0.0.1:{port}"
    records = [read_study(uri, m.study, m.profile) for m in _last_first(root)]
    views = {
        f"{record.manifest.study} on {record.manifest.profile}": view_url(
            base, record.experiment_id
        )
        for record in filter(None, records)
    }
    check_port(port)
    typer.echo("Starting MLflow; this takes a few seconds.")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with (
        suppress(KeyboardInterrupt),
        store_for_pages(uri) as (served, note),
        serving(served, root / "artifacts", port) as process,
    ):
        if note:
            typer.echo(note)
        _print_addresses(base, views)
        if not no_browser and _has_window():
            webbrowser.open(next(iter(views.values()), base))
        process.wait()
        raise StoreError(f"MLflow's server on port {port} has ended")


def _last_first(root: Path) -> list[Manifest]:
    """Return the studies of a root, the one that was run last first."""
    from bench.manifest import manifests

    def age(manifest: Manifest) -> float:
        return -(root / "studies" / f"{manifest.name}.json").stat().st_mtime

    return sorted(manifests(root), key=age)


def _print_addresses(base: str, views: dict[str, str]) -> None:
    typer.echo(f"MLflow: {base} (Ctrl-C stops it)")
    for name, address in views.items():
        typer.echo(f"{name}: {address}")
    typer.echo(
        'If another page opens, choose "Model training" at the top left, then the study, then '
        '"All runs" at the top right.'
    )


def _has_window() -> bool:
    """Return whether a browser would open a window, not take over the terminal."""
    return sys.platform in ("darwin", "win32") or any(map(os.environ.get, DISPLAYS))
