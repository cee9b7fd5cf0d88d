"""Sentences around what others found for RMI."""

TITLE = "What others found for RMI"
SCALE = "Numbers as their sources print them, none of ours; in brackets Welch's 95 % interval."
SIGNS = (
    "RMI is above its baseline in {ahead} of {compared} comparisons; the interval excludes zero "
    "in {clear} of the {known} that have one."
)
INTERVALS = (
    "A gain has an interval where its source prints the score of each run. A gain without one, of "
    "a single run above all, may be chance."
)
SOURCE = "{name}: {where}. {note}"
