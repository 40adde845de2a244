"""Cuts a byte stream into frames, whatever the stream holds."""

from sterna.spec.errors import EncodingError
from sterna.spec.frames import CRC_BYTES, DELIMITER, MAX_CONTENT, decode_frame

_LONGEST = MAX_CONTENT + CRC_BYTES + (MAX_CONTENT + CRC_BYTES) // 254 + 1
"""Bytes of the longest stuffed frame, without its delimiter."""


class FrameReader:
    """Collects bytes and gives the contents of whole frames; damaged ones are counted and dropped.

    Holds at most one frame's bytes: what is longer is dropped up to the next delimiter.
    """

    def __init__(self) -> None:
        self.good = 0
        """Whole frames so far."""
        self.damaged = 0
        """Dropped frames so far: stuffing, length or CRC wrong."""
        self._partial = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Contents of the frames that ``data`` completes, in order."""
        *ended, rest = data.split(DELIMITER)
        contents = []
        for piece in ended:
            self._append(piece)
            if self._partial:  # two delimiters in a row are an empty frame
                try:
                    contents.append(decode_frame(bytes(self._partial)))
                    self.good += 1
                except EncodingError:
                    self.damaged += 1
                self._partial.clear()
        self._append(rest)
        return contents

    def _append(self, piece: bytes) -> None:
        # One byte over the limit is kept, so that an overlong frame is known as damaged at its end.
        self._partial += piece[: _LONGEST + 1 - len(self._partial)]
