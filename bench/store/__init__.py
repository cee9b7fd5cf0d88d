"""The MLflow store, a mirror of the run directories."""
