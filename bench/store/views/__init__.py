"""The saved views of a study in MLflow's pages."""
