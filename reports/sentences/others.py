"""Sentences around what others found for RMI."""

TITLE = "What others found for RMI"
SCALE = "Numbers as their sources print them, none of ours; in brackets Welch's 95 % interval."
SIGNS = (
    "RMI is above its baseline in {ahead} of {compared} comparisons; the interval leaves out zero "
    "in {clear} of the {known} that have one."
)
INTERVALS = (
    "The interval is of the runs, where a source prints each. The other gains have none, and with "
    "one run each could be chance."
)
SOURCE = "{name}: {where}. {note}"
