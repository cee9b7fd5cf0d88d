"""Tuning: what is searched, what is tried next, and the trials as ordinary runs."""
