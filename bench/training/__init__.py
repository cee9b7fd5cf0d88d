"""One training, from batches to final weights."""
