"""From the names that a user gives to checked plans."""
