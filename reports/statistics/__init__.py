"""Intervals, scores and effects, from the runs of a study."""
