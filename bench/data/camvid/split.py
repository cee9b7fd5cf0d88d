"""Which of CamVid's 701 images are SegNet's train (367), val (101) and test (233), by stem.

Facts read from the lists published with SegNet: labelled frames of four film sequences, taken at
fixed intervals. val is a stretch of one of train's sequences; Seq05VD is in test alone.
"""

from __future__ import annotations

SPLITS = ("train", "val", "test")

# Sequence, digits of a frame number, and its stretches: first frame, last frame, interval.
_STRETCHES = {
    "train": [
        ("0001TP_", 6, [(6690, 8520, 30)]),
        ("0006R0_f", 5, [(930, 3930, 30)]),
        (
            "0016E5_",
            5,
            [(390, 870, 30), (901, 901, 30), (930, 2400, 30), (4350, 7920, 30), (8190, 8640, 30)],
        ),
    ],
    "val": [("0016E5_", 5, [(7959, 8159, 2)])],
    "test": [("0001TP_", 6, [(8550, 10380, 30)]), ("Seq05VD_f", 5, [(0, 5100, 30)])],
}


def segnet_stems(split: str) -> list[str]:
    """Return the stems of a split, sorted."""
    return [
        f"{sequence}{frame:0{digits}d}"
        for sequence, digits, stretches in _STRETCHES[split]
        for first, last, interval in stretches
        for frame in range(first, last + 1, interval)
    ]
