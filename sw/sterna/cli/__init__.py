"""Command line: ``sterna VERB``, one file a verb. Verbs import what they need when they run, so that the help of all
and the verbs of the driver work without torch and without the hardware tools."""

import sys

INTERRUPTED = 130
"""Exit code of what Ctrl-C ended."""


def main() -> None:
    """Entry point of the executable ``sterna``. Ctrl-C while it loads ends it as in a verb, with one line."""
    try:
        from sterna.cli.verbs import app
    except KeyboardInterrupt:
        print("sterna: interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    app()
