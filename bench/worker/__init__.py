"""The process that executes one run directory: `python -m bench.worker`."""
