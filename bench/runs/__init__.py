"""Run directories: contents, leases, environment and code of a run."""
