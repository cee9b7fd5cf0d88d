"""The data sets: reading, caching, augmenting, downloading and converting images."""
