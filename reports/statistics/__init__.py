"""Scores of a study's runs, their intervals and their comparisons."""
