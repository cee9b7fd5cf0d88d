"""Published numbers as records: tables of a paper, row by row."""
