"""Every error that the package raises on purpose. One base class, so that a caller can catch all of them at once."""


class SternaError(Exception):
    """Base of all errors raised on purpose. The text is one line and names the bad value and the mend."""


class ConfigurationError(SternaError, ValueError):
    """A configuration's parameter is out of range or does not go with another."""


class EncodingError(SternaError, ValueError):
    """A trit code, mask, frame or field cannot be encoded or decoded."""


class IllegalTritError(EncodingError):
    """A value is no trit, or a byte is no code of trits."""


class ModelError(SternaError, ValueError):
    """A network or a model file breaks its schema."""


class ImageError(SternaError, ValueError):
    """A program image is truncated, corrupted, of another version or made for another configuration."""


class FitError(SternaError, ValueError):
    """A network does not fit a configuration; the text says which memory lacks how much."""


class InputError(SternaError, ValueError):
    """Input data have the wrong shape, dtype or range, or hold NaN."""


class DataError(SternaError):
    """A data set is missing or damaged; the text says how to get it."""


class ToolError(SternaError):
    """A tool is missing or failed; the text says which and the mend."""


class DeviceError(SternaError):
    """Base of everything that can go wrong while talking to a device."""


class DeviceNotFoundError(DeviceError):
    """The device cannot be opened."""


class DeviceTimeoutError(DeviceError, TimeoutError):
    """The device did not answer within the bound, retries included."""


class DeviceLostError(DeviceError, ConnectionError):
    """The transport closed while in use."""


class ProtocolError(DeviceError):
    """The device answered something that the protocol does not allow."""


class DeviceRefusedError(DeviceError):
    """The device refused a request; ``status`` is its reason."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status
