"""Sentences about scores on the way to the end of a training."""

STEADY = "The ranking was the same before the end, and every line has settled."
RANKING = "The ranking changes: {before}; at the end {last}."
RANKING_WITHIN = "The ranking changes, within the bands of the seeds: {before}; at the end {last}."
BEFORE = "at {share} of the training (step {step}) {order}"
UNSTEADY = (
    "Still changing: from step {step} to the end, more than {points} point in {rows}; a longer "
    "training may rank the rows differently."
)
