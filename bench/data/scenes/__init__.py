"""Street scenes that the project draws itself."""
