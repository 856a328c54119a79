"""Model files: every damaged byte is found or harmless, and what contradicts itself is refused whoever signed it."""

import json
import random
import struct
import tracemalloc

import millstream as ms
import numpy as np
import pytest
from millstream import model_file
from millstream.errors import ModelFileError
from millstream.server.model_codec import DetectorCodec
from millstream.server.model_labels import Labels, with_labels
from millstream.server.model_store import ModelStore

ROWS = [{"x": float(n), "verb": "GPD"[n % 3], "who": f"w{n % 4}"} for n in range(12)]
SCHEMA = {"x": "numeric", "verb": "label", "who": "frequency"}
LABELS = Labels(name="m", base_name="m", backend="ecod", created_ns=10**18, description="the first")


@pytest.fixture(scope="module")
def small():
    """A small model with everything a file may hold."""
    return ms.Detector("ecod", schema=SCHEMA).fit(ROWS)


@pytest.fixture(scope="module")
def forest():
    return ms.Detector("isolation_forest", params={"n_estimators": 3}).fit(
        np.random.default_rng(1).normal(size=(60, 3))
    )


def test_every_flipped_byte_is_found_or_harmless(small, tmp_path):
    sound = with_labels(small.to_bytes(), LABELS)
    expected = small.detect(ROWS)
    chance = random.Random(7)
    harmless = 0
    for at in range(len(sound)):
        flipped = bytearray(sound)
        flipped[at] ^= chance.choice([1 << bit for bit in range(8)])
        try:
            found = ms.Detector.from_bytes(bytes(flipped)).detect(ROWS)
        except ModelFileError:
            continue
        harmless += 1
        assert np.array_equal(found.score, expected.score)
        assert found.threshold == expected.threshold
    assert harmless < len(sound) / 2  # the labels have a checksum of their own


def test_every_flipped_byte_of_the_labels_is_found_or_harmless(small, tmp_path):
    store = ModelStore(tmp_path, 10**8, DetectorCodec())
    store.open()
    stored = store.save("m", {"backend": "ecod", "description": "the first"}, small.to_bytes(), True, small)
    sound = stored.path.read_bytes()
    size = int.from_bytes(sound[:8], "little")
    for at in range(8 + size):
        flipped = bytearray(sound)
        flipped[at] ^= 1 << at % 8
        stored.path.write_bytes(flipped)
        for other in ModelStore(tmp_path, 10**8, DetectorCodec()).list():
            assert other.labels == stored.labels


@pytest.mark.parametrize("cut", [0, 1, 7, 8, 9, 100, -1])
def test_a_file_cut_short_or_too_long_is_refused(small, cut):
    sound = small.to_bytes()
    for damaged in (sound[:cut], sound + b"\0"):
        with pytest.raises(ModelFileError):
            ms.Detector.from_bytes(damaged, "m")


def test_a_newer_format_is_refused_with_its_number(small, monkeypatch):
    monkeypatch.setattr(model_file, "FORMAT_VERSION", 7)
    newer = small.to_bytes()
    monkeypatch.undo()
    with pytest.raises(ModelFileError, match=r"'m' has format version 7; this millstream reads up to 1"):
        ms.Detector.from_bytes(newer, "m")


def test_a_file_says_what_fitted_it(small):
    meta, arrays = model_file.decode(small.to_bytes())
    assert meta["versions"].keys() >= {"python", "millstream", "numpy", "numba", "scikit-learn", "pyod"}
    assert set(arrays) >= {"centers", "widths", "training_raw_scores", "encoder"}


def test_files_that_claim_to_be_huge_cost_no_memory():
    tracemalloc.start()
    for size in (2**63, 2**40, 10**8):
        header = {"a": {"dtype": "F64", "shape": [size], "data_offsets": [0, 8 * size]}}
        text = json.dumps(header).encode()
        for file in (struct.pack("<Q", size) + b"{}", struct.pack("<Q", len(text)) + text):
            with pytest.raises(ModelFileError):
                ms.Detector.from_bytes(file)
    assert tracemalloc.get_traced_memory()[1] < 2_000_000
    tracemalloc.stop()


def rewritten(detector, change):
    """The file of `detector` after `change(meta, arrays)`, signed anew: a checksum shows damage, not intent."""
    meta, arrays = model_file.decode(detector.to_bytes())
    change(meta, arrays)
    return model_file.encode(meta, arrays)


def put(name, value):
    def change(meta, arrays):
        arrays[name] = value(arrays[name]) if callable(value) else value

    return change


def say(*path_and_value):
    *path, last, value = path_and_value

    def change(meta, arrays):
        for step in path:
            meta = meta[step]
        meta[last] = value

    return change


def lose(name):
    return lambda meta, arrays: arrays.pop(name)


@pytest.mark.parametrize(
    "change",
    [
        put("centers", lambda a: a[:-1]),
        put("centers", lambda a: a.astype(np.float32)),
        put("centers", lambda a: a * np.nan),
        put("widths", lambda a: a * 0),
        put("widths", lambda a: -a),
        put("widths", lambda a: a[None]),
        put("training_raw_scores", lambda a: a + np.inf),
        put("training_raw_scores", lambda a: a.astype(np.int64)),
        put("encoder", np.frombuffer(b"{}", np.uint8)),
        put("encoder", np.frombuffer(b"\xff\xfe", np.uint8)),
        put("encoder", np.frombuffer(b"[" * 100_000, np.uint8)),
        put("encoder", lambda a: a[:-2]),
        put("backend.sorted", lambda a: a[:, ::-1].copy()),
        put("backend.sorted", lambda a: a[:, :0].copy()),
        put("backend.sorted", lambda a: np.vstack([a, a])),
        put("backend.sorted", lambda a: a[0].copy()),
        lose("centers"),
        lose("backend.sorted"),
        say("columns", []),
        say("columns", "abc"),
        say("columns", ["x", "verb"]),
        say("columns", [1, 2, 3]),
        say("statistics", {}),
        say("statistics", "iqr", 0.0),
        say("statistics", "median", "x"),
        say("statistics", "std", -1.0),
        say("statistics", "thresholds", [1.0]),
        say("statistics", "thresholds", [1.0, 2.0, None]),
        say("settings", {}),
        say("settings", "backend", "os.system"),
        say("settings", "contamination", 7),
        say("settings", "normalization", "x"),
        say("settings", "nonesuch", 1),
        say("settings", "params", {"nonesuch": 1}),
        say("settings", "schema", {"x": "magic"}),
        say("settings", "schema", 3),
    ],
)  # fmt: skip
def test_parts_that_do_not_fit_together_are_refused(small, change):
    with pytest.raises(ModelFileError, match="'m' is no millstream model"):
        ms.Detector.from_bytes(rewritten(small, change), "m")


@pytest.mark.parametrize(
    "change",
    [
        put("backend.left", lambda a: np.where(a == a.max(), 10**6, a).astype(a.dtype)),
        put("backend.left", np.zeros_like),
        put("backend.left", lambda a: a[:-1].copy()),
        put("backend.left", lambda a: a.astype(np.int64) + 2**40),
        put("backend.feature", lambda a: (a + 100).astype(a.dtype)),
        put("backend.roots", lambda a: a + 10**9),
        put("backend.roots", lambda a: a - 10**9),
        put("backend.roots", lambda a: a[:0].copy()),
        put("backend.roots", lambda a: a[None]),
        put("backend.width", lambda a: a[None]),
        put("backend.normal", lambda a: a[:0].copy()),
    ],
)  # fmt: skip
def test_trees_that_lead_out_of_their_arrays_are_refused(forest, change):
    with pytest.raises(ModelFileError):
        ms.Detector.from_bytes(rewritten(forest, change), "m")


def test_a_header_signed_with_numbers_that_are_none_is_refused(small):
    sound = small.to_bytes()
    for text in (b'"mean": NaN', b'"mean": Infinity'):
        meta, arrays = model_file.decode(sound)
        meta["statistics"]["mean"] = float("nan") if b"NaN" in text else float("inf")
        with pytest.raises(ModelFileError):
            ms.Detector.from_bytes(signed(meta, arrays))


def signed(meta, arrays):
    """What `encode` would write if it wrote NaN."""
    text = json.dumps(meta)
    sound = model_file.encode({}, arrays)
    size = int.from_bytes(sound[:8], "little")
    header = json.loads(sound[8 : 8 + size])
    header["__metadata__"] |= {"millstream": text, "millstream.sha256": model_file._checksum(text, arrays)}
    head = json.dumps(header).encode()
    return len(head).to_bytes(8, "little") + head + sound[8 + size :]
