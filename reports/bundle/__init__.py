"""Bundles: a study with its results as a small folder of text files (docs/bundles.md)."""
