"""`python -m bench` is `segloss`."""

from bench.cli import main

main()
