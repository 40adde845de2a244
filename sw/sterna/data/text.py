"""Text as bytes: Tiny Shakespeare (Karpathy 2015) and two pieces of TinyStories (Eldan and Li 2023).

Each is cut into 90 % training, 5 % validation and 5 % test, one after the other. ``tinystories_942k`` lies wholly
inside ``tinystories_lower_4m``, so a model trained on one must never be tested on the other: a name gives all three
pieces.
"""

from pathlib import Path

import numpy as np

from sterna.data.dataset import Text
from sterna.data.source import RemoteFile, locate

FOLDER = "text"
HELD_OUT = 0.05
"""Share of the validation piece, and of the test piece."""

SOURCES = {
    "tinyshakespeare": {
        "tinyshakespeare.txt": RemoteFile(
            url="https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
            sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        )
    },
    "tinystories_942k": {
        "tinystories_942k.txt": RemoteFile(
            url=None, sha256="c56cfd24fb1c542b141a396184b822a4db3672abdb4c49c6aa843171c5e822a5"
        )
    },
    "tinystories_lower_4m": {
        "tinystories_lower_4m.txt": RemoteFile(
            url=None, sha256="30c6f2fac206d82e76b80dbbede28f6b5415c8d8571dde6bfd8226ab41744a2c"
        )
    },
}


def read_text(name: str, data_dir: Path | None) -> Text:
    """The three pieces; see :func:`sterna.data.load_text`."""
    ((file, remote),) = SOURCES[name].items()
    content = np.frombuffer(locate(FOLDER, file, remote, data_dir, name).read_bytes(), np.uint8).copy()
    held_out = int(HELD_OUT * len(content))
    train, validation, test = np.split(content, [len(content) - 2 * held_out, len(content) - held_out])
    return Text(name=name, train=train, validation=validation, test=test)
