"""A device with its network: load, infer, count, trace."""

import struct
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from math import prod
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from sterna.driver.counters import COUNT, FIRST, Counters, CounterTotals
from sterna.driver.fitting import check_image
from sterna.driver.session import Request, Session, Statistics
from sterna.driver.streaming import Streaming
from sterna.link.transport import Transport
from sterna.spec.arithmetic import max_activation
from sterna.spec.configuration import CHUNK, FORMAT_VERSION, STANDARD, Configuration
from sterna.spec.errors import (
    ConfigurationError,
    DeviceLostError,
    DeviceRefusedError,
    DeviceTimeoutError,
    ImageError,
    InputError,
    ProtocolError,
)
from sterna.spec.frames import (
    CRC_BYTES,
    MAX_CONTENT,
    MAX_RESULT,
    WINDOW_BYTES,
    WINDOW_FRAMES,
    WRITE_HEADER_BYTES,
    Opcode,
    StartFlag,
    Status,
    commit_arguments,
    input_header,
    read_arguments,
    result_arguments,
    start_arguments,
)
from sterna.spec.image import Image, Section, TensorPlace, write_requests
from sterna.spec.network import IntegerNetwork, Shape
from sterna.spec.registers import MAGIC, Register, State
from sterna.spec.skips import ALL_SKIPS, Skips

Progress = Callable[[int, int], None]
"""Called with how many are done, and of how many."""
Outputs = npt.NDArray[np.int32] | tuple[npt.NDArray[np.int32], ...]

TIMEOUT = 3.0
"""Seconds that a device may take to answer, its runs not counted."""
SLOWEST_CLOCK = 10_000
"""Cycles per second of the slowest device that is waited for: a simulated netlist."""
LONGEST_RUN = 300.0
"""Seconds that a run may take at most, whatever the image's estimate says."""

_WRITE_BYTES = WINDOW_BYTES // WINDOW_FRAMES - CRC_BYTES - 2
"""Arguments of a WRITE: so that as many are on their way as the window allows (a frame of 640 bytes would be alone)."""


@dataclass(frozen=True)
class Identity:
    """What a device is."""

    configuration: Configuration
    format: int
    digest: bytes
    """Of its configuration."""
    build: bytes
    """Digest of build plan and toolchain; zeros for the emulator."""


@dataclass(frozen=True)
class ProfileRow:
    """What one op of a program costs."""

    op: str
    counters: Counters


class Device:
    """A device behind ``transport``; made by :func:`sterna.driver.open_device`. A context manager. Not for threads.

    Every wait is bounded; everything that goes wrong is a :class:`~sterna.spec.errors.SternaError`. After any exception
    (Ctrl-C too) the next call starts over with the device by itself.
    """

    def __init__(
        self, transport: Transport, *, timeout: float = TIMEOUT, configuration: Configuration | None = None
    ) -> None:
        if not timeout > 0:
            raise ConfigurationError(f"timeout is {timeout!r}; allowed: seconds above 0")
        self._transport = transport
        self._session = Session(transport, timeout=timeout)
        self._totals = CounterTotals()
        self._runs_since_reading = 0
        self._image: Image | None = None
        self._network: IntegerNetwork | None = None
        self._streaming: Streaming | None = None
        self._closed = False
        self._session.synchronise()
        self._identity = self._read_identity(configuration)
        self._wait_until_idle()
        self._read_counters()
        self._in_step = True

    # Facts

    @property
    def identity(self) -> Identity:
        return self._identity

    @property
    def configuration(self) -> Configuration:
        return self._identity.configuration

    @property
    def statistics(self) -> Statistics:
        """Traffic since the device was opened."""
        return self._session.statistics

    @property
    def image(self) -> Image | None:
        """The image that is loaded."""
        return self._image

    def counters(self) -> Counters:
        """Totals since the device was opened, however long ago (the 32 bits of the registers do not show)."""
        with self._exchange():
            self._read_counters()
        return self._totals.total

    # Work

    def load(
        self, network: IntegerNetwork | Image, *, skips: Skips = ALL_SKIPS, progress: Progress | None = None
    ) -> Image:
        """Loads a network, compiled for this device's configuration if it is not an image already; returns the image.

        ``skips`` change cycles and what fits, never results. ``progress`` counts bytes. Raises :class:`FitError` if the
        network does not fit, :class:`ImageError` for an image that was made for another configuration or reaches
        outside its memories, :class:`InputError` for an image with ``skips``, which it has been compiled with; nothing
        was sent then.
        """
        if isinstance(network, Image):
            if skips != ALL_SKIPS:
                raise InputError(f"an image cannot be loaded with {skips}; give them to compile_network")
            image, network_or_none = network, None
        elif isinstance(network, IntegerNetwork):
            from sterna.compiler import compile_network

            image, network_or_none = compile_network(network, self.configuration, skips), network
        else:
            raise ImageError(f"cannot load a {type(network).__name__}; expected an IntegerNetwork or an Image")
        check_image(image, self.configuration, network_or_none)
        self._image = self._network = None  # whatever becomes of this: BEGIN makes the device forget it too
        with self._exchange():
            self._read_counters()
            self._session.patience = 0.0
            self._session.submit(Opcode.BEGIN, image.digest)
            self._write_sections(image.sections, progress)
            self._session.call(Opcode.COMMIT, commit_arguments(image.payload_crc()))
        self._image, self._network = image, network_or_none
        self._streaming = Streaming(image, self.configuration)
        # A request may wait for two runs: the one under way and its own.
        self._session.patience = 2 * min(image.estimated_cycles / SLOWEST_CLOCK, LONGEST_RUN)
        return image

    def infer(self, images: npt.ArrayLike, *, progress: Progress | None = None) -> Outputs:
        """Runs the loaded network on a batch.

        ``images``: as ``InputSpec.quantise`` takes them: (n, height, width, channels) or (n, size), real values; if an
        image was loaded in place of a network, int8 (n, …) of the right size, already quantised.

        Returns int32 (n, channels) if the output is 1×1, else (n, height, width, channels); a tuple of them for several
        outputs: the same as the golden model's ``predict``. ``progress`` counts images.

        Images are dealt out to the device's cores; all else (``linear``, ``trace``, ``profile``, and networks larger
        than the memories) runs on the first.

        Raises :class:`InputError` for images of another shape, dtype or range, and :class:`DeviceRefusedError` if no
        network is loaded.
        """
        image = self._loaded_image()
        rows = self._quantised(images)
        outputs = tuple(np.empty((len(rows), *_shape(place)), np.int32) for place in image.outputs)
        reading_due = self._runs_per_reading(image)
        slots, behind = self._deal(image)
        with self._exchange():
            # On the wire: input and start of image n, results of one that is ``behind``; so the link works while cores
            # run. An input is sent when the results of the image that had its slot have come.
            pending: deque[list[list[Request]]] = deque()
            collected = 0

            def collect() -> None:
                nonlocal collected
                self._collect_results(pending.popleft(), outputs, collected)
                collected += 1
                if progress:
                    progress(collected, len(rows))

            for n, row in enumerate(rows):
                if n >= len(slots):
                    collect()
                slot = slots[n % len(slots)]
                self._submit_input(image, slot, row)
                self._submit_run(image, slot, more=n + 1 < len(rows))
                if n >= behind:
                    pending.append(self._submit_results(image, slots[(n - behind) % len(slots)]))
                if self._runs_since_reading >= reading_due:
                    self._read_counters()
            for n in range(max(0, len(rows) - behind), len(rows)):
                pending.append(self._submit_results(image, slots[n % len(slots)]))
            while pending:
                collect()
        whole = tuple(
            np.concatenate([output for _, output in parts], axis=3)
            for _, parts in groupby(zip(image.outputs, outputs, strict=True), key=lambda part: part[0].name)
        )
        flat = tuple(output[:, 0, 0] if output.shape[1:3] == (1, 1) else output for output in whole)
        return flat if len(flat) > 1 else flat[0]

    def linear(self, name: str, x: npt.ArrayLike) -> npt.NDArray[np.int32]:
        """One layer of the loaded network on its own: a matrix-vector engine for hosts that do the rest themselves.

        ``x``: integers (n, height, width, channels) or (n, size), activations of the layer's source, in its range.
        Returns int32 (n, channels) if the layer's output is 1×1, else (n, height, width, channels): the same as
        ``network.layer(name).predict(x)``.

        Raises :class:`ModelError` for a name that is no layer or one that reads several tensors, :class:`InputError`
        for another shape, dtype or range, :class:`DeviceRefusedError` if no network is loaded.
        """
        image = self._loaded_image()
        if self._network is None:
            raise DeviceRefusedError("only an image is loaded; linear needs the network, to check x", Status.NOT_LOADED)
        layer = self._network.layer(name)
        rows = layer.integers(x)
        output = np.empty((len(rows), *layer.shape(name)), np.int32)
        reading_due = self._runs_per_reading(image)
        first = 0  # channel of the op; a layer in parts has several
        with self._exchange():
            for index, op in enumerate(image.ops):
                if op.tensor.name != name:
                    continue
                channels = slice(first, first + op.tensor.layout.channels)
                first = channels.stop
                # The next input follows the result's request, and so the run. The next run follows the result itself:
                # were its answer lost, it would be asked for again, and be the next one's.
                pending: list[Request] = []
                for n, row in enumerate(rows):
                    self._submit_parts(image.parts(layer.input.name), row)
                    if n:
                        output[n - 1, ..., channels] = self._wait_for_tensor(op.tensor, pending)
                    self._submit_segment(image, image.segment_of(index), op.entry, 0, 1)
                    pending = self._submit_result(image, 0, op.tensor)
                    if self._runs_since_reading >= reading_due:
                        self._read_counters()
                if pending:
                    output[-1, ..., channels] = self._wait_for_tensor(op.tensor, pending)
        return output[:, 0, 0] if output.shape[1:3] == (1, 1) else output

    def trace(self, image: npt.ArrayLike) -> dict[str, npt.NDArray[np.int8]]:
        """Every tensor that the program computes for one image (without batch axis), as read from the device.

        Returns name → int8 (height, width, channels). For finding the first wrong layer: the program is run once for
        each op, up to that op.
        """
        program, row = self._single(image)
        tensors: dict[str, npt.NDArray[np.int8]] = {}
        with self._exchange():
            self._submit_input(program, 0, row)
            for limit, op in enumerate(program.ops, 1):
                self._submit_run(program, 0, ops=limit)
                found = self._wait_for_tensor(op.tensor, self._submit_result(program, 0, op.tensor))
                name = op.tensor.name
                tensors[name] = np.concatenate([tensors[name], found], axis=2) if name in tensors else found
        return tensors

    def profile(self, image: npt.ArrayLike) -> list[ProfileRow]:
        """What each layer of the program costs for one image (without batch axis).

        The program is run once for each op, up to that op; a row is the difference between two such runs, so that
        rows add up exactly to the run of the whole program. Filling and draining of the pipeline between two ops
        counts for the later one. Frames are not counted. What is streamed is written between the runs of segments here,
        not while they last, so that a longer run begins as a shorter one: its stalls are not in the rows.
        """
        program, row = self._single(image)
        rows, before_op = dict.fromkeys((op.tensor.name for op in program.ops), Counters()), Counters()
        with self._exchange():
            self._submit_input(program, 0, row)
            self._read_counters()
            for limit, op in enumerate(program.ops, 1):
                before = self._totals.total
                self._submit_run(program, 0, ops=limit, ahead=False)
                for part in self._submit_result(program, 0, program.outputs[0]):
                    self._session.wait(part)  # comes when the run has ended
                self._read_counters()
                run = self._totals.total - before
                run -= Counters(good_frames=run.good_frames, bad_frames=run.bad_frames)
                rows[op.tensor.name] += run - before_op
                before_op = run
        return [ProfileRow(name, counters) for name, counters in rows.items()]

    def close(self) -> None:
        """Releases the port; may be called twice. The device keeps its network."""
        if not self._closed:
            self._closed = True
            self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # Session

    @contextmanager
    def _exchange(self) -> Iterator[None]:
        """A stretch of requests with all their answers; what leaves one early makes the next start over."""
        if self._closed:
            raise DeviceLostError("the device is closed; open it again")
        if not self._in_step:
            self._start_over()
        self._in_step = False
        try:
            yield
        except DeviceRefusedError as error:
            if error.status == Status.NOT_LOADED:
                self._image = self._network = None
            raise
        self._in_step = True

    def _start_over(self) -> None:
        if self._streaming is not None:
            self._streaming.forget()
        self._session.synchronise()
        if self._read_identity(self.configuration) != self._identity:
            raise ProtocolError("another build answers now; open the device again")
        if self._wait_until_idle() & State.LOADED:
            return
        # It was reset, which moves counters, or left while loading (before which they were read): take them anew.
        self._totals.restart()
        if self._image is not None:
            self._image = self._network = None
            self._in_step = True
            raise DeviceRefusedError(
                "the device has lost its network (was it reset?); load it again", Status.NOT_LOADED
            )

    def _read_registers(self, first: int, count: int) -> tuple[int, ...]:
        data = self._session.call(Opcode.READ, read_arguments(first, count), expected=4 * count)
        return struct.unpack(f"<{count}I", data)

    def _read_identity(self, expected: Configuration | None) -> Identity:
        magic, version, *words = self._read_registers(Register.MAGIC, Register.BUILD_HIGH + 1)
        if magic != MAGIC:
            raise ProtocolError(f"this is no Sterna device: its magic is 0x{magic:08x}, not 0x{MAGIC:08x}")
        if version != FORMAT_VERSION:
            raise ProtocolError(
                f"the device speaks format {version}, this release {FORMAT_VERSION}; use a bitstream of this release"
            )
        digest, build = struct.pack("<II", *words[:2]), struct.pack("<II", *words[2:])
        candidates = STANDARD.values() if expected is None else [expected]
        for configuration in candidates:
            if configuration.digest == digest:
                return Identity(configuration, version, digest, build)
        if expected is not None:
            raise ConfigurationError(
                f"the device has configuration {digest.hex()}, not {expected.digest.hex()} ({expected.name})"
            )
        raise ConfigurationError(
            f"the device has configuration {digest.hex()}, none of the standard ones ({', '.join(sorted(STANDARD))}); "
            "pass configuration=…"
        )

    def _wait_until_idle(self) -> int:
        """Waits for a run that an interrupted exchange has left behind; returns the state."""
        deadline = self._session.deadline()
        while True:
            (state,) = self._read_registers(Register.STATE, 1)
            if not state & State.RUNNING:
                return state
            if time.monotonic() >= deadline:
                raise DeviceTimeoutError("the device keeps running and does not end; reset it")

    def _read_counters(self) -> None:
        self._totals.add(self._read_registers(FIRST, COUNT))
        self._runs_since_reading = 0

    def _runs_per_reading(self, image: Image) -> int:
        """Runs between two readings of the counters, so that none of them turns over unseen."""
        fastest = max(1, image.estimated_cycles) * self.configuration.simd * CHUNK  # steps of POSITIONS
        return int(max(1, (1 << 31) // fastest))

    # Requests

    def _write_sections(self, sections: tuple[Section, ...], progress: Progress | None = None) -> None:
        total, written = sum(len(section.data) for section in sections), 0
        for arguments in write_requests(sections, self.configuration, _WRITE_BYTES):
            self._session.submit(Opcode.WRITE, arguments)
            written += len(arguments) - WRITE_HEADER_BYTES
            if progress:
                progress(written, total)

    def _deal(self, image: Image) -> tuple[list[int], int]:
        """The slots that images take by turns, core by core, and how far behind the image that begins is the one whose
        results are asked for then: that of the same core, which has ended; with one slot a core, that of the next core,
        since there the next input goes.

        What is streamed would reach all cores at once, words that some of them read: such images run on the first."""
        cores = 1 if image.streamed_bytes else self.configuration.cores
        halves = 2 if image.slot_offset else 1
        return [2 * core + half for half in range(halves) for core in range(cores)], cores - 2 + halves

    def _submit_input(self, image: Image, slot: int, tensor: npt.NDArray[np.int8]) -> None:
        self._submit_tensor(image.input, slot, image.slot_offset, tensor)

    def _submit_parts(self, places: list[TensorPlace], tensor: npt.NDArray[np.int8]) -> None:
        """``tensor``: int8 (height, width, channels) of all parts."""
        first = 0
        for place in places:
            end = first + place.layout.channels
            self._submit_tensor(place, 0, 0, tensor[:, :, first:end])
            first = end

    def _submit_tensor(self, place: TensorPlace, slot: int, slot_offset: int, tensor: npt.NDArray[np.int8]) -> None:
        flat = place.layout.scatter(tensor)
        group = CHUNK * self.configuration.simd
        step = (MAX_CONTENT - 4) // group * group
        for at in range(0, len(flat), step):
            word = place.word + slot % 2 * slot_offset + at // self.configuration.simd
            self._session.submit(Opcode.INPUT, input_header(word, slot // 2) + flat[at : at + step].tobytes())

    def _submit_run(self, image: Image, slot: int, *, ops: int = 0, more: bool = False, ahead: bool = True) -> None:
        """Runs the program's first ``ops`` ops, all of them by default. ``more``: as a whole, once again after this.
        ``ahead``: what is streamed is written while the segment before runs, if possible."""
        left = ops or len(image.ops)
        for index, segment in enumerate(image.segments):
            if left <= 0:
                return
            at = image.first_op(index)
            if not ahead:
                self._stream(image, index, slot, ahead=False)
            self._submit_segment(image, index, image.ops[at].entry, slot, min(segment.ops, left))
            left -= segment.ops
            following = self._accounts().after(index)
            if ahead and following is not None and (more if following <= index else left > 0):
                self._stream(image, following, slot)

    def _submit_segment(self, image: Image, index: int, entry: int, slot: int, ops: int) -> None:
        """Runs some ops of a segment, from the one at ``entry`` on."""
        self._stream(image, index, slot)
        core, half = divmod(slot, 2)
        arguments = start_arguments(entry, half * image.slot_offset, StartFlag.SLOT * half, ops, core)
        self._session.submit(Opcode.START, arguments)
        self._accounts().started(index)
        self._runs_since_reading += 1

    def _stream(self, image: Image, index: int, slot: int, *, ahead: bool = True) -> None:
        """Writes a segment's sections, unless they are there; ``slot``: of the run under way, which ends before if not
        ``ahead``."""
        streaming = self._accounts()
        if not streaming.is_missing(index):
            return
        if not ahead or streaming.is_in_use(
            index
        ):  # a result comes when the run has ended, and what follows it is done then
            self._session.submit(Opcode.RESULT, result_arguments(slot, image.outputs[0].word, 1), expected=1)
        self._write_sections(image.segments[index].sections)
        streaming.wrote(index)

    def _accounts(self) -> Streaming:
        assert self._streaming is not None, "made with the image"
        return self._streaming

    def _submit_result(self, image: Image, slot: int, place: TensorPlace) -> list[Request]:
        simd = self.configuration.simd
        step = MAX_RESULT // simd * simd
        parts = []
        needed = _activations(place)
        for at in needed[::step]:
            count = min(step, needed.stop - at)
            word = place.word + slot % 2 * image.slot_offset + at // simd
            parts.append(self._session.submit(Opcode.RESULT, result_arguments(slot, word, count), expected=count))
        return parts

    def _submit_results(self, image: Image, slot: int) -> list[list[Request]]:
        return [self._submit_result(image, slot, place) for place in image.outputs]

    def _collect_results(
        self, results: list[list[Request]], outputs: tuple[npt.NDArray[np.int32], ...], n: int
    ) -> None:
        for place, parts, output in zip(self._loaded_image().outputs, results, outputs, strict=True):
            output[n] = self._wait_for_tensor(place, parts)

    def _wait_for_tensor(self, place: TensorPlace, parts: list[Request]) -> npt.NDArray[np.int8]:
        """int8 (height, width, channels)."""
        flat = np.zeros(place.layout.words * self.configuration.simd, np.int8)
        needed = _activations(place)
        flat[needed.start : needed.stop] = np.frombuffer(b"".join(map(self._session.wait, parts)), np.int8)
        return place.layout.gather(flat)

    # Arrays

    def _loaded_image(self) -> Image:
        if self._closed:
            raise DeviceLostError("the device is closed; open it again")
        if self._image is None:
            raise DeviceRefusedError("no network is loaded; call load first", Status.NOT_LOADED)
        return self._image

    def _quantised(self, images: npt.ArrayLike) -> npt.NDArray[np.int8]:
        """int8 (n, height, width, channels)."""
        shape = _shape(self._loaded_image().input)
        if self._network is not None:
            return self._network.input.quantise(images)
        array = np.asarray(images)
        size = prod(shape)
        if array.dtype != np.int8:
            raise InputError(f"images have dtype {array.dtype}; without a network they must be int8, already quantised")
        if array.ndim < 2 or int(np.prod(array.shape[1:])) != size:
            raise InputError(f"images have shape {array.shape}; expected (n, …) with {size} values each")
        limit = max_activation(self.configuration.act_bits)
        if array.size and not (-limit <= array.min() and array.max() <= limit):
            raise InputError(f"images reach from {array.min()} to {array.max()}; allowed: -{limit}…{limit}")
        return array.reshape(len(array), *shape)

    def _single(self, image: npt.ArrayLike) -> tuple[Image, npt.NDArray[np.int8]]:
        return self._loaded_image(), self._quantised(np.asarray(image)[None])[0]


def _shape(place: TensorPlace) -> Shape:
    return place.layout.height, place.layout.width, place.layout.channels


def _activations(place: TensorPlace) -> range:
    """Numbers of the activations to read, from a tensor's first to its last: what lies around it stays there."""
    layout = place.layout
    last = layout.element(layout.height - 1, layout.width - 1) + layout.channels
    return range(layout.element(0, 0), last)
