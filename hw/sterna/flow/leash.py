"""``leash.py COMMAND…``: runs a command that ends at the latest when standard input does.

Whoever starts this holds the other end of a pipe, in a process group made for it. The pipe closes however that one
ends, and with it ends the group: the command, all that it has started, and this process. Exit code: the command's; 128
and the number of the signal if one ended it.
"""

import os
import signal
import subprocess
import sys
import threading


def _end_with_input() -> None:
    while os.read(0, 1):
        pass
    os.killpg(0, signal.SIGKILL)


def main() -> int:
    try:
        process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
    except OSError as error:
        print(f"ERROR: {sys.argv[1]}: {error.strerror}")
        return 127
    threading.Thread(target=_end_with_input, daemon=True).start()
    code = process.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
