"""One table model, and a file for each format that prints it."""
