"""``python -m sterna.data NAME [--data-dir FOLDER]``: downloads a data set."""

import argparse
import sys

from sterna.data import NAMES, TEXTS, fetch
from sterna.spec.errors import DataError


def main() -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m sterna.data", description="Downloads a data set.")
    parser.add_argument("name", choices=NAMES + TEXTS)
    parser.add_argument("--data-dir", help="folder to fill (default: the cache)")
    arguments = parser.parse_args()
    try:
        folder = fetch(arguments.name, arguments.data_dir)
    except DataError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(folder if folder is not None else f"{arguments.name} is bundled")
    return 0


if __name__ == "__main__":
    sys.exit(main())
