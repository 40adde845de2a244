"""Errors: one base class, and standard classes where a caller would look for them."""

import inspect

import pytest

import sterna
from sterna.spec import errors

ALL = [value for _, value in inspect.getmembers(errors, inspect.isclass)]


def test_every_error_has_one_base():
    assert all(issubclass(error, errors.SternaError) for error in ALL)
    assert sterna.SternaError is errors.SternaError


@pytest.mark.parametrize(
    ("error", "standard"),
    [
        (errors.ConfigurationError, ValueError),
        (errors.EncodingError, ValueError),
        (errors.IllegalTritError, errors.EncodingError),
        (errors.ModelError, ValueError),
        (errors.ImageError, ValueError),
        (errors.FitError, ValueError),
        (errors.InputError, ValueError),
        (errors.DeviceTimeoutError, TimeoutError),
        (errors.DeviceLostError, ConnectionError),
        (errors.DeviceNotFoundError, errors.DeviceError),
        (errors.ProtocolError, errors.DeviceError),
        (errors.DeviceRefusedError, errors.DeviceError),
    ],
)
def test_errors_are_also_what_the_standard_library_would_raise(error, standard):
    assert issubclass(error, standard)


def test_a_refusal_carries_its_status():
    error = errors.DeviceRefusedError("refused", 7)
    assert (str(error), error.status) == ("refused", 7)
