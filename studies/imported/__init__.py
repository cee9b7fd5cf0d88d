"""Runs that were made elsewhere: read from CSV files, checked, and written as runs of a study."""
