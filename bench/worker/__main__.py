"""`python -m bench.worker`."""

import sys

from bench.worker.execution import main

if __name__ == "__main__":
    sys.exit(main())
