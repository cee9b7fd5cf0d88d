"""The command line: the only package that imports from all five packages."""

import os
import sys
import warnings


def main() -> None:
    """Run `segloss`; a user's mistake ends with one or two lines and exit code 2."""
    warnings.formatwarning = lambda message, *_, **__: f"segloss: {message}\n"
    try:
        code = _exit_code()
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of the pipe has ended; at exit the interpreter must not flush into it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141
    sys.exit(code)


def _exit_code() -> int:
    from bench.cli.app import app
    from bench.errors import SeglossError

    try:
        app()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    except SeglossError as error:
        sys.stderr.write(f"segloss: {error}\n")
        return 2
    return 0
