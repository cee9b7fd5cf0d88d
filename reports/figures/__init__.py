"""A study's figures: first the numbers as a data frame that a test can check, then the drawing."""
