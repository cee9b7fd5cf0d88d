"""The fixed settings of a study as the page lists them."""

from __future__ import annotations

from bench.manifest import Manifest
from bench.spec import Scalar

NEUTRAL = ("", "None", "False", "0", "0.0", "[]")
"""Values at which an option does nothing."""
NEUTRAL_OF = {"accumulate": "1", "scales": "1.0", "interpolation": "bilinear"}
"""Further values, of one option each, that are what everybody does."""
SIZES = ("size", "window", "stride", "crop")
"""Last words of options that hold a height and a width."""
RANGES = ("scale",)
"""Options that hold a lowest and a highest value."""


def fixed_settings(manifest: Manifest) -> dict[str, list[tuple[str, str]]]:
    """Return the fixed settings by their first word: {"data": [("name", "camvid"), …], …}.

    Options at a neutral value are left out.
    """
    groups: dict[str, list[tuple[str, str]]] = {}
    for key, value in manifest.settings.items():
        group, _, name = key.partition(".")
        name = name or group
        if str(value) not in (*NEUTRAL, NEUTRAL_OF.get(name)):
            groups.setdefault(group, []).append((name, setting_words(name, value)))
    return groups


def setting_words(name: str, value: Scalar | None) -> str:
    """Return a value as printed: a size as a product, a range and a list as such.

    Manifests write all three with " x " between the numbers.

    >>> setting_words("crop_size", "96 x 128"), setting_words("atrous_rates", "3 x 6 x 9")
    ('96 × 128', '3, 6, 9')
    """
    text = str(value)
    if name.split("_")[-1] in SIZES:
        return text.replace(" x ", " × ")
    return text.replace(" x ", " to " if name in RANGES else ", ")
