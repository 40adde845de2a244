"""A transport that damages what it carries, to try out drivers: seeded, so that a failure can be repeated."""

import random
import time
from collections import Counter

from sterna.link.transport import Transport
from sterna.spec.frames import DELIMITER


class FaultyTransport:
    """Carries bytes over ``inner`` and, with probability ``rate`` for each piece that ends in a delimiter, harms it.

    ``kinds`` picks from: ``drop`` (the piece is lost), ``flip`` (a byte differs), ``delete`` (a byte is lost),
    ``truncate`` (its end is lost, delimiter too), ``duplicate`` (it comes twice), ``stutter`` (a byte comes twice),
    ``noise`` (random bytes before it) and, towards the host only, ``delay`` (it and all behind it come later).
    Whatever arrives also comes in pieces of random length.
    """

    KINDS = ("drop", "flip", "delete", "truncate", "duplicate", "stutter", "noise", "delay")

    def __init__(self, inner: Transport, *, seed: int, rate: float, kinds: tuple[str, ...] = KINDS) -> None:
        self.faults: Counter[str] = Counter()
        """Faults so far, by kind."""
        self.rate = rate
        self._inner = inner
        self._random = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self._kinds = kinds
        self._arrived = bytearray()
        self._delayed = bytearray()
        self._late = False

    def send(self, data: bytes) -> None:
        kinds = tuple(kind for kind in self._kinds if kind != "delay")
        self._inner.send(b"".join(self._harmed(piece, kinds) for piece in _pieces(data)))

    def receive(self, timeout: float) -> bytes:
        if self._delayed:
            self._arrived += self._delayed
            self._delayed.clear()
        if not self._arrived:
            for piece in _pieces(self._inner.receive(timeout)):
                harmed = self._harmed(piece, self._kinds)
                (self._delayed if self._delayed or self._late else self._arrived).extend(harmed)
            if self._delayed and not self._arrived:
                time.sleep(max(0.0, timeout))
        length = self._random.randint(1, len(self._arrived)) if self._arrived else 0
        taken = bytes(self._arrived[:length])
        del self._arrived[:length]
        return taken

    def close(self) -> None:
        self._inner.close()

    def _harmed(self, piece: bytes, kinds: tuple[str, ...]) -> bytes:
        self._late = False
        if not kinds or self._random.random() >= self.rate:
            return piece
        kind = self._random.choice(kinds)
        self.faults[kind] += 1
        at = self._random.randrange(len(piece))
        match kind:
            case "drop":
                return b""
            case "flip":
                return piece[:at] + bytes((piece[at] ^ self._random.randint(1, 255),)) + piece[at + 1 :]
            case "delete":
                return piece[:at] + piece[at + 1 :]
            case "truncate":
                return piece[:at]
            case "duplicate":
                return piece * 2
            case "stutter":
                return piece[: at + 1] + piece[at:]
            case "noise":
                return self._random.randbytes(self._random.randint(1, 40)) + piece
            case _:
                self._late = True
                return piece


def _pieces(data: bytes) -> list[bytes]:
    """``data`` cut behind each delimiter."""
    *ended, rest = data.split(DELIMITER)
    return [piece + DELIMITER for piece in ended] + ([rest] if rest else [])
