"""What a report reads from the store: the runs frame and the files that runs left."""
