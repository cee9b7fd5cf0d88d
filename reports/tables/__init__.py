"""Tables as finished data, and the sentences about them."""
