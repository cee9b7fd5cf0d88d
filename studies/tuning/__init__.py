"""Tuning: the search spaces, the next trials, and the trials as ordinary runs."""
