"""The model file: round trips, determinism, and a typed error for everything else."""

import json
import struct

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from sterna.spec import tensor_file
from sterna.spec.errors import ModelError
from sterna.spec.model_file import (
    bits_per_weight,
    load_network,
    network_from_bytes,
    network_to_bytes,
    packed_bits,
    save_network,
)
from sterna.spec.network import InputSpec, IntegerNetwork, Layer, Plane
from strategies import networks, random_images


def small(metadata=None, name="small"):
    """Two layers: a 2×2 convolution of two planes, then a fully connected one."""
    rng = np.random.default_rng(5)
    planes = tuple(
        Plane(
            source="image",
            trits=rng.integers(-1, 2, (3, 2, 2, 1)).astype(np.int8),
            multiplier=np.array([1, 2, 65535]) * (k == 0) + 7 * (k == 1),
            stride=(1, 2),
            padding=(1, 0, 1, 0),
        )
        for k in range(2)
    )
    first = Layer(
        name="conv", planes=planes, bias=np.array([-(2**33), 0, 2**33 - 1]), shift=np.array([0, 33, 5]),
        minimum=0, maximum=127,
    )  # fmt: skip
    plane = Plane(source="conv", trits=rng.integers(-1, 2, (2, 2, 1, 3)).astype(np.int8), multiplier=np.array([9, 9]))
    second = Layer(
        name="dense", planes=(plane,), bias=np.array([-3, -3]), shift=np.array([1, 1]), minimum=-127, maximum=127
    )
    spec = InputSpec(name="image", shape=(2, 2, 1), low=0.0, high=1.0, scale=1 / 127)
    return IntegerNetwork(
        name=name, act_bits=8, input=spec, layers=(first, second), outputs=("dense",), output_scale=(0.5,),
        metadata={"task": "test"} if metadata is None else metadata,
    )  # fmt: skip


def parts(data):
    """Description and tensors of a file's bytes."""
    size = int.from_bytes(data[:8], "little")
    return json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["sterna"]), safetensors.numpy.load(data)


def signed(document, tensors, extra_metadata=None):
    """A file of these parts with the right digest: only its content is wrong."""
    document = {key: value for key, value in document.items() if key != "sha256"}
    document["sha256"] = tensor_file.digest(document, tensors)
    return safetensors.numpy.save(tensors, metadata={"sterna": json.dumps(document), **(extra_metadata or {})})


def raw(header, payload=b""):
    """A safetensors file with this header, given as text."""
    return struct.pack("<Q", len(header.encode())) + header.encode() + payload


def same(one, other):
    """Whether two networks are equal in everything."""
    return network_to_bytes(one) == network_to_bytes(other) and all(
        a.name == b.name
        and (a.minimum, a.maximum, a.pool) == (b.minimum, b.maximum, b.pool)
        and (a.bias == b.bias).all()
        and (a.shift == b.shift).all()
        and all(
            (p.source, p.stride, p.padding, p.groups) == (q.source, q.stride, q.padding, q.groups)
            and (p.trits == q.trits).all()
            and (p.multiplier == q.multiplier).all()
            for p, q in zip(a.planes, b.planes, strict=True)
        )
        for a, b in zip(one.layers, other.layers, strict=True)
    )


@settings(max_examples=60)
@given(networks())
def test_a_network_comes_back_from_its_bytes_unchanged(network):
    loaded = network_from_bytes(network_to_bytes(network))
    assert same(network, loaded)
    assert (loaded.input, loaded.outputs, loaded.output_scale) == (network.input, network.outputs, network.output_scale)
    assert loaded.metadata == network.metadata
    images = random_images(network, 2)
    expected, result = network.predict(images), loaded.predict(images)
    assert all(
        (a == b).all() for a, b in zip(*(r if isinstance(r, tuple) else (r,) for r in (expected, result)), strict=True)
    )


def test_files_are_written_whole_and_replaced(tmp_path):
    path = tmp_path / "net.safetensors"
    for name in ("one", "two"):
        save_network(small(name=name), path)
        assert load_network(str(path)).name == name
    assert [entry.name for entry in tmp_path.iterdir()] == ["net.safetensors"]


def test_bytes_do_not_depend_on_the_order_of_metadata():
    assert network_to_bytes(small({"a": 1, "b": [1.5]})) == network_to_bytes(small({"b": [1.5], "a": 1}))


def test_the_only_metadata_key_holds_canonical_json():
    data = network_to_bytes(small())
    size = int.from_bytes(data[:8], "little")
    metadata = json.loads(data[8 : 8 + size])["__metadata__"]
    assert list(metadata) == ["sterna"]
    text = metadata["sterna"]
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))


def test_packed_bits_count_every_tensor():
    network = small()
    # trits 12, 12, 12 → 3 bytes each; multipliers 3·2, 1·2, 1·2; biases 3·8 and 1; shifts 3 and 1.
    assert packed_bits(network) == 8 * (9 + 10 + 25 + 4)
    assert bits_per_weight(network) == packed_bits(network) / 36
    _, tensors = parts(network_to_bytes(network))
    assert packed_bits(network) == 8 * sum(tensor.nbytes for tensor in tensors.values())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1, 2}, b"x"])
def test_metadata_that_is_not_json_is_not_written(value):
    with pytest.raises(ModelError, match=r"^metadata is not JSON: "):
        network_to_bytes(small({"value": value}))


def test_metadata_that_would_not_load_is_not_written():
    with pytest.raises(ModelError, match=r"^model file has bad metadata: number 10+ is out of range$"):
        network_to_bytes(small({"count": 10**30}))


def test_a_file_that_cannot_be_read_is_a_model_error(tmp_path):
    missing = tmp_path / "none.safetensors"
    with pytest.raises(ModelError, match=r"^cannot read model file '.*none\.safetensors': No such file or directory$"):
        load_network(missing)
    with pytest.raises(ModelError, match=r"Is a directory"):
        load_network(tmp_path)
    with pytest.raises(ModelError, match=r"null"):
        load_network("a\0b")


def test_files_over_the_limit_are_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(tensor_file, "MAX_FILE_BYTES", 100)
    save = tmp_path / "net.safetensors"
    save.write_bytes(bytes(101))
    with pytest.raises(ModelError, match=r"^model file has more than 100 bytes$"):
        load_network(save)
    with pytest.raises(ModelError, match=r"^model file has more than 100 bytes$"):
        network_to_bytes(small())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a model file, or cut short: its header ends after the file"),
        (b"\x80\x04" + bytes(20), "not a model file, or cut short: its header ends after the file"),  # a pickle
        (raw("{"), "model file has bad header: Expecting property name"),
        (raw("[]"), "model file has a header that is not an object"),
        (struct.pack("<Q", 1) + b"\xff", "model file has bad header: not UTF-8: invalid start byte"),
        (raw("{}"), "model file needs exactly one metadata key, 'sterna'"),
        (raw('{"a":1,"a":1}'), "model file has bad header: duplicate key 'a'"),
        (raw('{"a":NaN}'), "model file has bad header: NaN is not allowed"),
        (raw('{"a":-Infinity}'), "model file has bad header: -Infinity is not allowed"),
        (raw('{"a":1e999}'), "model file has bad header: number 1e999 is out of range"),
        (raw('{"a":' + "9" * 21 + "}"), "model file has bad header: number 999999999999999999999 is out of range"),
        (raw("[" * 100_000), "model file has bad header: nested too deeply"),
        (raw('{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}'), "not a safetensors file: "),
        (raw('{"__metadata__":{"sterna":"[]","b":""}}'), "model file needs exactly one metadata key, 'sterna'"),
        (raw('{"__metadata__":{"sterna":1}}'), "not a safetensors file: "),
        (raw('{"__metadata__":{"sterna":"[]"}}'), "model is not a JSON object"),
        (raw('{"__metadata__":{"sterna":"{"}}'), "model file has bad metadata: Expecting property name"),
        (raw('{"__metadata__":{"sterna":"{}"}}'), "model lacks 'format'"),
        (raw('{"__metadata__":{"sterna":"{\\"format\\":1}"}}'), "model lacks 'sha256'"),
        (
            raw('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', bytes(4)),
            "tensor 'a' is F32 [1]; allowed: U8, U16, I8, I16, I32, I64 of one axis",
        ),
        (
            raw('{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}'),
            "tensor 'a' is U8 [0]; allowed: U8, U16, I8, I16, I32, I64 of one axis",
        ),
        (
            raw('{"a":{"dtype":"U8","shape":[1,1],"data_offsets":[0,1]}}', b"a"),
            "tensor 'a' is U8 [1, 1]; allowed: U8, U16, I8, I16, I32, I64 of one axis",
        ),
    ],
)
def test_files_of_another_kind_are_refused(data, message):
    with pytest.raises(ModelError) as caught:
        network_from_bytes(data)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_header_over_the_limit_is_refused(monkeypatch):
    monkeypatch.setattr(tensor_file, "MAX_HEADER_BYTES", 10)
    with pytest.raises(ModelError, match=r"^model file has \d+ bytes of header; at most 10$"):
        network_from_bytes(network_to_bytes(small()))


def test_deeply_nested_metadata_is_refused():
    document, tensors = parts(network_to_bytes(small()))
    nested = json.dumps(document).replace('"test"', "[" * 50_000 + "]" * 50_000)
    with pytest.raises(ModelError, match=r"^model file has bad metadata: nested too deeply$"):
        network_from_bytes(safetensors.numpy.save(tensors, metadata={"sterna": nested}))


def _set(*path_and_value):
    *path, key, value = path_and_value

    def edit(document):
        for step in path:
            document = document[step]
        document[key] = value

    return edit


def _drop(*path):
    def edit(document):
        for step in path[:-1]:
            document = document[step]
        del document[path[-1]]

    return edit


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (_set("format", 2), "model file has format 2; this release reads 1"),
        (_set("format", True), "model: format is True; expected int"),
        (_set("extra", 1), "model has an unknown key 'extra'"),
        (_drop("name"), "model lacks 'name'"),
        (_set("name", 5), "model: name is 5; expected str"),
        (_set("name", ""), "network name '': allowed are 1…255 printable characters"),
        (_set("name", "a\nb"), "network name 'a\\nb': allowed are 1…255 printable characters"),
        (_set("name", "\ud800"), "network name '\\ud800': allowed are 1…255 printable characters"),
        (_set("act_bits", 9), "act_bits is 9; allowed: 2…8"),
        (_set("act_bits", 10**19), "act_bits is 10000000000000000000; allowed: 2…8"),
        (_set("metadata", []), "model: metadata is []; expected dict"),
        (_set("outputs", []), "model: outputs has 0 entries; allowed: 1…1024"),
        (_set("outputs", ["conv", "dense"]), "every output needs a name and a scale"),
        (_set("outputs", [1]), "model: outputs is 1; expected str"),
        (_set("outputs", ["nothing"]), "output 'nothing' is not a layer"),
        (_set("output_scale", ["x" * 200]), "model: output_scale is '" + "x" * 76 + "…; expected float"),
        (_set("input", []), "model: input is []; expected dict"),
        (_set("input", "shape", [2, 2]), "input: shape has 2 entries; allowed: 3…3"),
        (_set("input", "shape", [2, 2, 0]), "input: shape is [2, 2, 0]; allowed: 1…65536"),
        (_set("input", "shape", [65536, 65536, 1]), "input shape (65536, 65536, 1) is out of range"),
        (_set("input", "scale", 0), "input range 0…1, scale 0 or offset 0 is not sensible"),
        (_set("input", "high", 1e300), "input 0…1e+300 at scale 0.00787402 exceeds 8 bits"),
        (_set("input", "scale", 5e-324), "input 0…1 at scale 4.94066e-324 exceeds 8 bits"),
        (_set("input", "name", None), "input: name is None; expected str"),
        (_set("input", "unit", "V"), "input has an unknown key 'unit'"),
        (_set("layers", {}), "model: layers is {}; expected list"),
        (_set("layers", []), "model: layers has 0 entries; allowed: 1…1024"),
        (_set("layers", 0, 7), "model: layers is 7; expected dict"),
        (_set("layers", 0, "name", "image"), "tensor 'image' is defined twice"),
        (_set("layers", 0, "bias", []), "layer 0 has an unknown key 'bias'"),
        (_drop("layers", 1, "minimum"), "layer 1 lacks 'minimum'"),
        (_set("layers", 1, "maximum", 128), "layer 'dense' clamps to -127…128; allowed: -127…127"),
        (_set("layers", 1, "maximum", 1.0), "layer 1: maximum is 1.0; expected int"),
        (_drop("layers", 0, "pool"), "layer 0 lacks 'pool'"),
        (_set("layers", 0, "pool", [1]), "layer 0: pool has 1 entries; allowed: 2…2"),
        (_set("layers", 0, "pool", [0, 1]), "layer 0: pool is [0, 1]; allowed: 1…65536"),
        (_set("layers", 0, "pool", [1, 2.0]), "layer 0: pool is 2.0; expected int"),
        (_set("layers", 0, "pool", [3, 1]), "layer 'conv': pool (3, 1) is out of range for 2×1 pixels"),
        (_drop("layers", 0, "planes", 0, "groups"), "layer 0 plane 0 lacks 'groups'"),
        (_set("layers", 0, "planes", 0, "groups", True), "layer 0 plane 0: groups is True; expected int"),
        (
            _set("layers", 0, "planes", 0, "groups", -1),
            "layer 'conv' plane 0: -1 groups do not divide 1 inputs and 3 outputs",
        ),
        (_set("layers", 1, "planes", []), "layer 1: planes has 0 entries; allowed: 1…16"),
        (_set("layers", 1, "planes", 0, "extra", 0), "layer 1 plane 0 has an unknown key 'extra'"),
        (
            _set("layers", 1, "planes", 0, "source", "dense"),
            "layer 'dense' plane 0 reads 'dense', which is not defined before it",
        ),
        (_set("layers", 1, "planes", 0, "stride", [1, 0]), "layer 1 plane 0: stride is [1, 0]; allowed: 1…65536"),
        (
            _set("layers", 1, "planes", 0, "padding", [0, 0, 0, -1]),
            "layer 1 plane 0: padding is [0, 0, 0, -1]; allowed: 0…65536",
        ),
        (
            _set("layers", 1, "planes", 0, "padding", [65536] * 4),
            "layer 'dense' plane 0: its output (131073, 131073, 2) or padded source is too large",
        ),
        (
            _set("layers", 1, "planes", 0, "shape", [65536] * 4),
            "tensor '1.0.trits' has 3 bytes, which do not go with the shape (65536, 65536, 65536, 65536)",
        ),
        (
            _set("layers", 1, "planes", 0, "shape", [2, 2, 1, 2]),
            "tensor '1.0.trits' has 3 bytes, which do not go with the shape (2, 2, 1, 2)",
        ),
        (_set("layers", 1, "planes", 0, "shape", [3, 2, 2, 1]), "tensor '1.0.multiplier'"),
        (_set("layers", 1, "planes", 0, "shape", [2, 1, 2, 3]), "layer 'dense' plane 0: the window is larger"),
        (_drop("layers", 1), "model file has an unknown tensor '1.0.multiplier'"),
    ],
)
def test_descriptions_that_break_the_schema_are_refused(edit, message):
    document, tensors = parts(network_to_bytes(small()))
    tensors["1.0.multiplier"] = np.array([9, 8], np.uint16)
    edit(document)
    if message.startswith("model file has an unknown"):
        document["outputs"] = ["conv"]
    with pytest.raises(ModelError) as caught:
        network_from_bytes(signed(document, tensors))
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("0.bias", None, "model file lacks the tensor '0.bias'"),
        ("0.1.trits", None, "model file lacks the tensor '0.1.trits'"),
        ("2.bias", np.zeros(1, np.int8), "model file has an unknown tensor '2.bias'"),
        ("0.bias", np.zeros(2, np.int8), "tensor '0.bias' has 2 values; expected 3, or 1 for all"),
        ("0.bias", np.zeros(3, np.uint16), "tensor '0.bias' is uint16; expected int8 or int16 or int32 or int64"),
        ("0.bias", np.full(3, 2**33), "layer 'conv': bias exceeds 34 bits"),
        ("0.shift", np.full(3, 34, np.uint8), "layer 'conv': shift out of range 0…33"),
        ("0.shift", np.zeros(3, np.int8), "tensor '0.shift' is int8; expected uint8"),
        ("0.0.multiplier", np.zeros(3, np.uint8), "tensor '0.0.multiplier' is uint8; expected uint16"),
        (
            "0.0.trits",
            np.zeros(4, np.uint8),
            "tensor '0.0.trits' has 4 bytes, which do not go with the shape (3, 2, 2, 1)",
        ),
        (
            "0.0.trits",
            np.full(3, 0b11111101, np.uint8),
            "tensor '0.0.trits': byte 0 is 0xfd, which is not a trit5 code",
        ),
        (
            "0.0.trits",
            np.array([0, 0, 0b00100000], np.uint8),
            "tensor '0.0.trits': the last trit5 byte is not filled with zeros: 0x20",
        ),
    ],
)
def test_tensors_that_break_the_schema_are_refused(name, tensor, message):
    document, tensors = parts(network_to_bytes(small()))
    if tensor is None:
        del tensors[name]
    else:
        tensors[name] = tensor
    with pytest.raises(ModelError) as caught:
        network_from_bytes(signed(document, tensors))
    assert str(caught.value) == message


@settings(max_examples=300)
@given(st.data())
def test_every_flipped_bit_is_found(data):
    good = network_to_bytes(small())
    damaged = bytearray(good)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(good) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        loaded = network_from_bytes(bytes(damaged))
    except ModelError as error:
        assert "\n" not in str(error)
    else:  # white space, the order of keys: what does not change the network
        assert same(loaded, small())


def test_every_truncation_is_found():
    good = network_to_bytes(small())
    for size in range(len(good)):
        with pytest.raises(ModelError):
            network_from_bytes(good[:size])
    with pytest.raises(ModelError):
        network_from_bytes(good + b"\0")


@settings(max_examples=200)
@given(st.binary(max_size=200), st.binary(max_size=200))
def test_random_bytes_give_only_typed_errors(header, rest):
    for data in (header, struct.pack("<Q", len(header)) + header + rest):
        with pytest.raises(ModelError):
            network_from_bytes(data)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=6,
)


@settings(max_examples=300)
@given(st.data())
def test_any_json_in_any_place_of_the_description_gives_only_typed_errors(data):
    document, tensors = parts(network_to_bytes(small()))
    place, key = document, data.draw(st.sampled_from(sorted(document)))
    while isinstance(place[key], dict | list) and place[key] and data.draw(st.booleans()):
        place = place[key]
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
    place[key] = data.draw(_json)
    try:
        network_from_bytes(signed(document, tensors))
    except ModelError as error:
        assert "\n" not in str(error)
