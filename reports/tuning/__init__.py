"""The answer of a tuning: the curve through all its trials."""
