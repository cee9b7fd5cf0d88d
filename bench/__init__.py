"""One training or evaluation: its specification, execution, run directory and mirror."""
