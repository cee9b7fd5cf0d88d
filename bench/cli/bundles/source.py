"""A bundle where a verb expects an output folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def as_root(folder: Path) -> Iterator[Path]:
    """Yield an output folder itself, or for a bundle a temporary one with its runs.

    Raises BundleError if the bundle is damaged.
    """
    from reports.bundle.files import is_bundle
    from reports.bundle.read import unpacked

    if not is_bundle(folder):
        yield folder
        return
    with unpacked(folder) as (_, root):
        yield root


@contextmanager
def store_of(folder: Path) -> Iterator[str]:
    """Yield the address of an output folder's store, or for a bundle that of its runs."""
    from bench.store.client import default_uri
    from bench.store.snapshot import address
    from reports.bundle.files import is_bundle

    with as_root(folder) as root:
        yield address(root) if is_bundle(folder) else default_uri(root)


def study_of(bundle: Path) -> tuple[str, str]:
    """Return the names of the study and the profile that a bundle holds."""
    from reports.bundle.read import open_bundle

    manifest = open_bundle(bundle).manifest
    return manifest.study, manifest.profile
