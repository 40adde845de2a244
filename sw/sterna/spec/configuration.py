"""A configuration: what a build of the accelerator has. Its digest ties program images to devices."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum

from sterna.spec.arithmetic import MULTIPLIER_BITS, SHIFT_BITS, SUM_BITS
from sterna.spec.descriptors import OP_FIELDS, OP_HEAD_WORDS, OP_WORDS, PLANE_FIELDS, PLANE_WORDS
from sterna.spec.errors import ConfigurationError
from sterna.spec.frames import Opcode, StartFlag, Status
from sterna.spec.registers import Register
from sterna.spec.trits import ESCAPE, PAIRS, TRIPLES, TRIT2, TritCode

FORMAT_VERSION = 1
"""Version of the program image, the descriptors and the link protocol. A device serves exactly one."""

CHUNK = 8
"""Block positions that a feeder's mask word covers."""

_CONTRACTS = repr((
    OP_FIELDS, PLANE_FIELDS, OP_WORDS, OP_HEAD_WORDS, PLANE_WORDS, list(Opcode), list(Status), list(StartFlag),
    list(Register), MULTIPLIER_BITS, SHIFT_BITS, SUM_BITS, TRIT2,
))  # fmt: skip
"""What an image, a driver and a device have to agree on besides the parameters; part of every digest."""


def _power_of_two(value: int) -> bool:
    return value > 0 and value & (value - 1) == 0


class Primitive(StrEnum):
    """What holds a memory's words."""

    BLOCK = "block"
    """Block RAM: a port to read and a port to write."""
    SPRAM = "spram"
    """UP5K's large memories: one port for both."""
    BITS = "bits"
    """Block RAM that can write single bits of a word (iCE40)."""
    LUT = "lut"
    """Look-up tables of the logic, on parts whose tables can be written (ECP5): for small memories."""


HELD_IN: dict[str, tuple[Primitive, ...]] = {
    "weights_in": (Primitive.BLOCK, Primitive.SPRAM),
    "activations_in": (Primitive.BLOCK, Primitive.SPRAM),
    "activation_masks_in": (Primitive.BLOCK, Primitive.BITS),
    "masks_in": (Primitive.BLOCK, Primitive.LUT),
    "parameters_in": (Primitive.BLOCK, Primitive.LUT),
    "pool_in": (Primitive.BLOCK, Primitive.LUT),
}
"""Fields that say what holds words, and what they may be."""

CHOICES: dict[str, tuple[StrEnum, ...]] = {**HELD_IN, "weight_code": tuple(TritCode)}
"""Fields that are one of several, and of which."""

BUILD_ONLY = ("name", "read_latency", "output_queue", *HELD_IN)
"""Fields that neither images nor the driver depend on."""


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """Parameters of one accelerator build.

    ``simd`` feeders × ``pe`` lanes; a weight block is the ``pe`` trits that one input feeds in one tile of outputs.
    Depths are in words of the memory they belong to. Raises :class:`ConfigurationError` naming the bad value.
    """

    name: str
    simd: int
    """Feeders, and banks of activations, masks and weights. Power of two, 1…32."""
    pe: int
    """Lanes: outputs computed at once. 4…64, multiple of the trits in a byte of ``weight_code``."""
    requantisers: int = 1
    """Sums requantised per cycle. Power of two, at most ``simd``, divides ``pe``, at most ``pe / 4``: a sum of planes
    comes back from its memory four cycles later."""
    act_bits: int = 8
    """Signed bits of an activation, 2…8."""
    acc_bits: int = 18
    """Signed bits of a lane's accumulator, 8…24."""
    weight_depth: int
    """Blocks per weight bank. Power of two."""
    weight_code: TritCode = TritCode.TRIT2
    """How the weight banks hold a block: ``TRIT2``, four trits a byte as the lanes take them, or ``TRIT5``, five a
    byte, decoded between memory and lanes (decision 0015)."""
    mask_depth: int
    """Mask words (of ``CHUNK`` blocks) per mask bank. Power of two."""
    activation_depth: int
    """Activations per bank. Power of two, multiple of ``CHUNK``, at most 65536."""
    parameter_depth: int
    """Parameter words: one per output channel and plane and requantiser group. Power of two."""
    pool_depth: int = 512
    """Groups (of ``requantisers`` activations) that a row of pooling windows may have. Power of two."""
    program_depth: int = 256
    """Program memory, in 16-bit words. Power of two, at most 65536."""
    activation_skip: bool = True
    """Whether zeros among activations are skipped, for which masks of them are kept. Without, every stored block is
    issued and no other, whatever a run asks for, and zeros around tensors lie in memory as values."""
    weights_in: Primitive = Primitive.BLOCK
    """What holds the weight banks: ``BLOCK`` or ``SPRAM``."""
    activations_in: Primitive = Primitive.BLOCK
    """What holds the banks of activations: ``BLOCK``, or ``SPRAM`` if there is no ``activation_skip``."""
    activation_masks_in: Primitive = Primitive.BLOCK
    """What holds the masks of the activations: ``BLOCK`` or ``BITS``."""
    masks_in: Primitive = Primitive.BLOCK
    """What holds the block masks: ``BLOCK`` or ``LUT``."""
    parameters_in: Primitive = Primitive.BLOCK
    """What holds the parameters: ``BLOCK`` or ``LUT``."""
    pool_in: Primitive = Primitive.BLOCK
    """What holds the maxima of max-pooling: ``BLOCK`` or ``LUT``."""
    read_latency: int = 1
    """Cycles from an address to an activation, a block or masks: 1, or 2 with registers behind these memories and the
    link's program, for parts whose block RAM is slow to its outputs (decision 0016)."""
    output_queue: int = 4
    """Outputs that may be on their way through scanner, feeders and lanes: 4, or 2 in fewer cells, with which the next
    output's masks are read a little later."""
    cores: int = 1
    """Cores behind one link, each with memories of these depths: 1, 2 or 4, at most ``32 / simd``. They hold the same
    image; each inference runs on one of them."""

    def __post_init__(self) -> None:
        def check(name: str, ok: bool, allowed: str) -> None:
            if not ok:
                raise ConfigurationError(f"{name} is {getattr(self, name)!r}; allowed: {allowed}")

        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name == "name":
                check("name", isinstance(value, str) and bool(value), "a non-empty string")
            elif field.name == "activation_skip":
                check(field.name, isinstance(value, bool), "True or False")
            elif field.name in CHOICES:
                allowed = CHOICES[field.name]
                right = value in allowed and isinstance(value, type(allowed[0]))
                check(field.name, right, ", ".join(map(str, allowed)))
            else:
                check(field.name, isinstance(value, int) and not isinstance(value, bool), "an integer")
        check("read_latency", self.read_latency in {1, 2}, "1 or 2")
        check("output_queue", self.output_queue in {2, 4}, "2 or 4")
        values = not self.activation_skip or self.activations_in is Primitive.BLOCK
        check("activations_in", values, f"{Primitive.BLOCK} with activation_skip")
        check("simd", _power_of_two(self.simd) and self.simd <= 32, "a power of two, 1…32")
        unit = self.weight_code.trits_per_byte  # so that a block is whole bytes
        check("pe", 4 <= self.pe <= 64 and self.pe % unit == 0, f"a multiple of {unit}, 4…64")
        check(
            "requantisers",
            _power_of_two(self.requantisers)
            and self.requantisers <= self.simd
            and self.pe % self.requantisers == 0
            and self.pe >= 4 * self.requantisers,
            f"a power of two ≤ simd ({self.simd}) that divides pe ({self.pe}), at most a quarter of it",
        )
        check("act_bits", 2 <= self.act_bits <= 8, "2…8")
        check("acc_bits", 8 <= self.acc_bits <= 24, "8…24")
        most = 32 // self.simd  # what all cores together count in a cycle is limited (``sterna.gateware.tally``)
        check("cores", self.cores in {1, 2, 4} and self.cores <= most, f"1, 2 or 4, at most {most}")
        for name in (
            "weight_depth",
            "mask_depth",
            "activation_depth",
            "parameter_depth",
            "pool_depth",
            "program_depth",
        ):
            check(name, _power_of_two(getattr(self, name)) and 2 * CHUNK <= getattr(self, name) <= 1 << 16,
                  f"a power of two, {2 * CHUNK}…65536")  # fmt: skip

    @property
    def digest(self) -> bytes:
        """First 8 bytes of the SHA-256 of the parameters that image or driver depend on (not :data:`BUILD_ONLY`) and of
        the contracts that both sides share: a device refuses images of a release whose descriptors, requests or
        registers differ. It also tells the driver how many cores there are; of a single one
        nothing is said, nor of ``trit2`` in the weight memories, nor of skipped activations."""
        described = dataclasses.asdict(self) | {"format": FORMAT_VERSION, "chunk": CHUNK, "contracts": _CONTRACTS}
        for name in BUILD_ONLY:
            del described[name]
        if self.cores == 1:
            del described["cores"]
        if self.activation_skip:
            del described["activation_skip"]
        if self.weight_code is TritCode.TRIT2:
            del described["weight_code"]
        else:
            described["weight_code"] = [self.weight_code, TRIPLES, PAIRS, ESCAPE]
        canonical = json.dumps(described, sort_keys=True, separators=(",", ":")).encode()
        return hashlib.sha256(canonical).digest()[:8]


STANDARD = {
    configuration.name: configuration
    for configuration in (
        # UP5K with weights in SPRAM: 4 banks × 16K blocks of 8 trits = 524,288 trits; the rest in EBR.
        Configuration(
            name="icebreaker", simd=4, pe=8, requantisers=1, act_bits=8, acc_bits=18, weight_depth=16384,
            mask_depth=1024, activation_depth=512, parameter_depth=512, program_depth=256, weights_in=Primitive.SPRAM,
            activation_masks_in=Primitive.BITS,
        ),
        # The same part with five trits a byte: 655,360 trits, and a quarter more lanes.
        Configuration(
            name="icebreaker-trit5", simd=4, pe=10, requantisers=1, act_bits=8, acc_bits=18, weight_depth=16384,
            weight_code=TritCode.TRIT5, mask_depth=1024, activation_depth=512, parameter_depth=512, program_depth=256,
            weights_in=Primitive.SPRAM, activation_masks_in=Primitive.BITS,
        ),
        # The same part the other way round, for convolutions: 4 banks × 16K activations in SPRAM, 16,384 trits in EBR,
        # so few that sums stay small.
        Configuration(
            name="icebreaker-maps", simd=4, pe=16, requantisers=1, act_bits=8, acc_bits=16, weight_depth=256,
            mask_depth=512, activation_depth=16384, parameter_depth=512, program_depth=256, activation_skip=False,
            activations_in=Primitive.SPRAM, output_queue=2,
        ),
        # HX8K, all in EBR: 16,384 trits.
        Configuration(
            name="hx8k", simd=4, pe=16, requantisers=1, act_bits=8, acc_bits=18, weight_depth=256,
            mask_depth=512, activation_depth=512, parameter_depth=256, program_depth=256,
            activation_masks_in=Primitive.BITS,
        ),
        # ECP5, each with room for three feature maps of 32×32×16: 131,072 trits on a 25F, whose EBR are all taken then;
        # 262,144 on a 45F; 524,288 on an 85F, or 1,048,576 for eight times the lanes.
        Configuration(
            name="ecp5-25", simd=8, pe=32, requantisers=2, act_bits=8, acc_bits=18, weight_depth=512,
            mask_depth=256, activation_depth=8192, parameter_depth=256, program_depth=512,
            masks_in=Primitive.LUT, parameters_in=Primitive.LUT, pool_in=Primitive.LUT, read_latency=2,
        ),
        Configuration(
            name="ecp5-45", simd=8, pe=16, requantisers=2, act_bits=8, acc_bits=18, weight_depth=2048,
            mask_depth=2048, activation_depth=8192, parameter_depth=1024, program_depth=512, read_latency=2,
        ),
        Configuration(
            name="ecp5-85", simd=8, pe=16, requantisers=2, act_bits=8, acc_bits=18, weight_depth=4096,
            mask_depth=2048, activation_depth=8192, parameter_depth=1024, program_depth=512, read_latency=2,
        ),
        Configuration(
            name="ecp5-85-wide", simd=16, pe=64, requantisers=4, act_bits=8, acc_bits=18, weight_depth=1024,
            mask_depth=2048, activation_depth=4096, parameter_depth=1024, program_depth=512, read_latency=2,
        ),
        # The same part as four cores of 4 bits, 131,072 trits and three feature maps of 32×32×16 each (decision 0009).
        Configuration(
            name="ecp5-85x4", simd=8, pe=32, requantisers=4, act_bits=4, acc_bits=16, weight_depth=512,
            mask_depth=128, activation_depth=8192, parameter_depth=512, program_depth=512, cores=4,
            read_latency=2,
        ),
    )
}  # fmt: skip


def configuration_named(name: str) -> Configuration:
    """The standard configuration of that name. Raises :class:`ConfigurationError` with the known names."""
    if name not in STANDARD:
        raise ConfigurationError(f"no configuration {name!r}; known: {', '.join(sorted(STANDARD))}")
    return STANDARD[name]
