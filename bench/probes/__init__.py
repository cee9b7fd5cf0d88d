"""Probes: how the parts of a run behave, as numbers that two versions of the code can compare."""
