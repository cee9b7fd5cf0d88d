"""Post-processing of predictions. Import the modules: this face loads nothing."""
