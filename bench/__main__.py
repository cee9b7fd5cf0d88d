"""`python -m bench` is `segloss`."""

from bench.cli import main

if __name__ == "__main__":  # a worker's process imports the scheduler's main module
    main()
