"""The command line: the only place that knows all five packages."""

import atexit
import os
import sys
import warnings


def main() -> None:
    """Run `segloss`; a user's mistake ends with one or two lines and exit code 2."""
    warnings.formatwarning = lambda message, *_, **__: f"segloss: {message}\n"
    code = _exit_code()
    # What is left of an exit is taking torch apart, object by object: more than a second.
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        code = 141
    os._exit(code)


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
    except BrokenPipeError:
        return 141  # the reader of a pipe has had enough
    return 0
