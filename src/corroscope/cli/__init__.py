"""The command line: one command, thin subcommands that import what they need."""

import os
import sys
from collections.abc import Sequence

from corroscope.cli.arguments import parser
from corroscope.errors import CorroscopeError

FAILED = 2
"""Exit code when something that was given is at fault."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells expect it."""

UNREAD = 141
"""Exit code when whoever read the output has gone, as ``head`` does; shells expect it too."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments
        Words after ``corroscope``; those of the process by default.

    Returns
    -------
    int
        Exit code: 0; 2 with one line on standard error; 130 after Ctrl-C; 141 when nobody reads
        the output any more.
    """
    chosen = parser().parse_args(arguments)
    try:
        chosen.run(chosen)
        sys.stdout.flush()
    except BrokenPipeError:
        # What is left in the buffer would be tried once more, and complained of, at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNREAD
    except CorroscopeError as error:
        print(f"corroscope {chosen.command}: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        resumes = chosen.command in ("run", "tune")
        kept = "; the same command goes on where it was" if resumes else ""
        print(f"corroscope {chosen.command}: interrupted{kept}", file=sys.stderr)
        return INTERRUPTED
    return 0
