"""The parts of ``losses.rmi``: sigmoids and windows in cells, and the term of their regions."""
