"""Sentences about the rows of one study compared with the same rows of another."""

DIFFERS = "A differs from B in {differences}."
SHARED_RUNS = "A and B share the runs of {rows}."
GAIN = "Gain: percentage points, paired by seed. {population}"
ALONE = "Only in {study}: {rows}."
