"""What goes over the link when something is lost. Timeouts are hours: what must not wait for them, does not."""

from collections.abc import Callable

import pytest

from sterna.driver.session import Session
from sterna.link.emulator import Emulator
from sterna.link.framing import FrameReader
from sterna.spec.configuration import STANDARD
from sterna.spec.errors import DeviceTimeoutError
from sterna.spec.frames import Opcode, encode_frame, read_arguments
from sterna.spec.registers import MAGIC

pytestmark = pytest.mark.timeout(20)


class Lossy:
    """An emulator behind a link that loses the frames that ``lose`` picks, by direction and running number."""

    def __init__(self, lose: Callable[[str, int], bool]) -> None:
        self.emulator = Emulator(STANDARD["icebreaker"])
        self.lose = lose
        self.sent: list[bytes] = []
        self.sends = 0
        self._readers = {"there": FrameReader(), "back": FrameReader()}
        self._counts = {"there": 0, "back": 0}

    def send(self, data: bytes) -> None:
        self.sends += 1
        self.emulator.send(self._pass("there", data))

    def receive(self, timeout: float) -> bytes:
        return self._pass("back", self.emulator.receive(0.0))

    def close(self) -> None:
        self.emulator.close()

    def _pass(self, way: str, data: bytes) -> bytes:
        passed = b""
        for content in self._readers[way].feed(data):
            if way == "there":
                self.sent.append(content)
            if not self.lose(way, self._counts[way]):
                passed += encode_frame(content)
            self._counts[way] += 1
        return passed


def read_often(session: Session, count: int) -> None:
    requests = [session.submit(Opcode.READ, read_arguments(0, 1), expected=4) for _ in range(count)]
    for request in requests:
        assert session.wait(request) == MAGIC.to_bytes(4, "little")


@pytest.mark.parametrize("way", ["there", "back"])
def test_losses_before_others_need_no_timeout(way: str) -> None:
    # The first of the first four, and the second when they come again; a last one would be missed by nobody.
    link = Lossy(lambda its_way, number: its_way == way and number in {1, 6})
    session = Session(link, timeout=10_000)
    session.synchronise()
    read_often(session, 40)
    assert session.statistics.retransmissions == 4 + 3


def test_silence_is_met_with_the_oldest_request_alone() -> None:
    link = Lossy(lambda way, number: number > 0)
    session = Session(link, timeout=0.1)
    session.synchronise()
    first = session._sequence
    with pytest.raises(DeviceTimeoutError, match="no answer to READ"):
        read_often(session, 4)
    sequences = [content[0] for content in link.sent[1:]]
    assert sequences[:4] == [(first + at) & 0xFF for at in range(4)]
    assert set(sequences[4:]) == {first}
    assert 3 <= len(sequences[4:]) <= 5
    assert session.statistics.retransmissions == len(sequences[4:])


def test_half_a_frame_from_before_costs_no_repetition() -> None:
    emulator = Emulator(STANDARD["icebreaker"])
    emulator.send(b"\x55\x01\x02")
    session = Session(emulator, timeout=10_000)
    session.synchronise()
    read_often(session, 1)
    assert session.statistics.frames_sent == 2


def test_a_full_window_is_sent_at_once() -> None:
    link = Lossy(lambda way, number: False)
    session = Session(link, timeout=10_000)
    session.synchronise()
    sends = link.sends
    read_often(session, 4)
    assert link.sends == sends + 1
