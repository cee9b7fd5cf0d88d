"""Losses of other packages."""
