"""One study on several profiles: gains side by side, ranks, and how well rows are told apart."""
