"""One table model, a file for each form it is printed in."""
