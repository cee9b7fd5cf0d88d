"""The command line: the only package that imports from all five packages."""

import errno
import os
import sys
import warnings

REFUSED = (
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.ENAMETOOLONG,
    errno.ELOOP,
)
"""Errors of a place, which no code of the project causes."""
WAY_OUT = "free the disk, change the permissions, or choose another --root"
MISNAMED = "give another name"


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
    except OSError as error:
        if error.errno not in REFUSED:
            raise
        place = f"{error.filename}: " if error.filename else ""
        way_out = MISNAMED if error.errno in (errno.ENAMETOOLONG, errno.ELOOP) else WAY_OUT
        sys.stderr.write(f"segloss: {place}{error.strerror}; {way_out}\n")
        return 2
    return 0
