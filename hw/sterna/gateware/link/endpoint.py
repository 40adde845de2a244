"""The device's end of the link: everything between the host's bytes and the core."""

from sterna.gateware.link import firmware
from sterna.gateware.link.processor import LinkProcessor
from sterna.spec.configuration import Configuration


class Endpoint(LinkProcessor):
    """Serves the protocol of :mod:`sterna.spec.frames`: a processor with the program that does.

    Parameters
    ----------
    configuration
        What the core was built for; its digest is shown to the host and BEGIN must name it.
    build_id
        Registers BUILD_LOW and BUILD_HIGH: 64 bits.
    """

    def __init__(self, *, configuration: Configuration, build_id: int = 0):
        if not 0 <= build_id < 1 << 64:
            raise ValueError(f"build id is {build_id!r}; allowed: 0…2**64 - 1")
        self.build_id = build_id
        super().__init__(
            configuration=configuration,
            program=firmware.program(configuration),
            work=firmware.work_contents(configuration, build_id),
        )
