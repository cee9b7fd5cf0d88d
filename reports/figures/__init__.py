"""Figures of a study: first the numbers as a frame that a test can check, then ink."""
