"""The pairs of neighbours behind ``losses.affinity_field``, and their terms."""
