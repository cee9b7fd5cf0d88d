"""The command line: the only place that knows all five packages."""

import sys
import warnings


def main() -> None:
    """Run `segloss`; a user's mistake ends with one or two lines and exit code 2."""
    from bench.cli.app import app
    from bench.errors import SeglossError

    warnings.formatwarning = lambda message, *_, **__: f"segloss: {message}\n"
    try:
        app()
    except SeglossError as error:
        sys.stderr.write(f"segloss: {error}\n")
        sys.exit(2)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of a pipe has had enough
        sys.exit(141)
