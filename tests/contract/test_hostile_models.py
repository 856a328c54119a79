"""Files in the folder of models that are none: each a clear refusal with its name, and no code of theirs runs."""

import io
import json
import os
import pickle
import socket
import struct
import zipfile

import millstream as ms
import numpy as np
import pytest
from millstream import model_file
from millstream.server.model_labels import Labels, with_labels
from safetensors.numpy import save as save_tensors

from tests.contract.rule import check_problem
from tests.contract.server_process import ServerProcess

ANOMALY = "/v1/ml/anomaly"
ROWS = np.random.default_rng(2).normal(size=(30, 2))
LABELS = Labels(name="m", base_name="m", backend="ecod", created_ns=10**18)


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def sound():
    return with_labels(ms.Detector("ecod").fit(ROWS).to_bytes(), LABELS)


def rewritten(change, backend="ecod", **options):
    """A model file whose parts are changed and signed anew, labels and all."""
    meta, arrays = model_file.decode(ms.Detector(backend, **options).fit(ROWS).to_bytes())
    change(meta, arrays)
    return with_labels(model_file.encode(meta, arrays), LABELS)


def pickled(path):
    return pickle.dumps(Bomb(path))


def zipped(path):
    """As torch and joblib write models."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("m/data.pkl", pickle.dumps(Bomb(path)))
    return file.getvalue()


def with_header(text):
    return struct.pack("<Q", len(text)) + text


def array_of_objects(path):
    file = io.BytesIO()
    np.save(file, np.array([Bomb(path)], dtype=object), allow_pickle=True)
    return file.getvalue()


def put(name, value):
    return lambda meta, arrays: arrays.__setitem__(name, value)


FILES = {
    "a pickle": pickled,
    "a zip with a pickle": zipped,
    "a NumPy file with a pickle": array_of_objects,
    "a pickle behind a header": lambda path: with_header(b'{"__metadata__":{}}') + pickled(path),
    "nothing": lambda path: b"",
    "three bytes": lambda path: b"\1\2\3",
    "half a header": lambda path: sound()[:200],
    "half its arrays": lambda path: sound()[:-100],
    "more than its arrays": lambda path: sound() + b"\0" * 8,
    "a header as large as memory": lambda path: struct.pack("<Q", 2**63 - 1) + b"{",
    "a header of 90 MB": lambda path: with_header(b" " * 90_000_000),
    "a header that is a list": lambda path: with_header(b"[]"),
    "a header deeper than the stack": lambda path: with_header(b'{"__metadata__":' + b"[" * 100_000),
    "a header that is no UTF-8": lambda path: with_header(b'{"__metadata__":"\xff"}'),
    "tensors of somebody else": lambda path: save_tensors({"weight": np.zeros((3, 3), np.float32)}),
    "tensors that overlap": lambda path: (
        with_header(
            b'{"a":{"dtype":"F64","shape":[1],"data_offsets":[0,8]},"b":{"dtype":"F64","shape":[1],"data_offsets":[4,12]}}'
        )
        + b"\0" * 12
    ),
    "a shape larger than its bytes": lambda path: (
        with_header(b'{"a":{"dtype":"F64","shape":[4611686018427387904,4],"data_offsets":[0,8]}}') + b"\0" * 8
    ),
    "a flipped bit in the arrays": lambda path: sound()[:-3] + bytes([sound()[-3] ^ 1]) + sound()[-2:],
    "a newer format": lambda path: sound().replace(b'"millstream.format":"1"', b'"millstream.format":"9"'),
    "statistics that are none": lambda path: rewritten(lambda meta, arrays: meta.update(statistics={"mean": 1})),
    "scaling of NaN": lambda path: rewritten(put("centers", np.full(2, np.nan))),
    "scaling of the wrong type": lambda path: rewritten(put("centers", np.zeros(2, np.int64))),
    "columns of the wrong shape": lambda path: rewritten(put("backend.sorted", np.zeros((5, 30)))),
    "a tree that leads out of the file": lambda path: rewritten(
        put("backend.roots", np.array([10**9])), "isolation_forest", params={"n_estimators": 1}
    ),
    "a backend that is none": lambda path: rewritten(lambda meta, arrays: meta["settings"].update(backend="os.system")),
}
NOT_FILES = {
    "a link to a model": lambda path, real: path.symlink_to(real),
    "a link to itself": lambda path, real: path.symlink_to(path),
    "a link to a device": lambda path, real: path.symlink_to("/dev/zero"),
    "a pipe": lambda path, real: os.mkfifo(path),
    "a folder": lambda path, real: path.mkdir(),
    "a socket": lambda path, real: bind_socket(path),
}


def bind_socket(path):
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("d")


@pytest.fixture(scope="module")
def server(folder):
    made = ServerProcess(folder)
    yield made
    assert made.stop() == 0, "".join(made.log)
    assert not any("Traceback" in line for line in made.log), "".join(made.log)


def asked(server):
    """What each route says of the model m."""
    ask = {"model": "m", "backend": "ecod"}
    yield server.ask("POST", ANOMALY + "/load", {"model": "m"})
    yield server.ask("POST", ANOMALY + "/load", ask)
    yield server.ask("POST", ANOMALY + "/score", ask | {"data": [[1.0, 2.0]]})
    yield server.ask("POST", ANOMALY + "/detect", ask | {"data": [[1.0, 2.0]]})
    yield server.ask("POST", ANOMALY + "/save", ask)


@pytest.mark.parametrize("what", FILES)
def test_a_file_that_is_no_model_is_refused_with_its_name_and_can_be_deleted(server, folder, what):
    ran, path = folder / "ran", folder / "models" / "anomaly" / "m_ecod.safetensors"
    path.write_bytes(FILES[what](ran))
    for answer in asked(server):
        assert answer.status == 422, answer.body
        check_problem(answer)
        assert "m_ecod.safetensors" in answer.json["detail"]
    if what == "a newer format":
        assert "format version 9" in answer.json["detail"]
    assert not ran.exists()
    assert server.ask("DELETE", ANOMALY + "/models/m_ecod.safetensors").status == 200
    assert server.ask("GET", ANOMALY + "/models").json["data"] == []
    assert server.ask("POST", ANOMALY + "/load", {"model": "m"}).status == 404


@pytest.mark.parametrize("what", NOT_FILES)
def test_what_is_no_file_is_never_opened(server, folder, what):
    real, path = folder / "real", folder / "models" / "anomaly" / "m_ecod.safetensors"
    real.write_bytes(sound())
    NOT_FILES[what](path, real)
    for answer in [*asked(server), server.ask("DELETE", ANOMALY + "/models/m_ecod.safetensors")]:
        assert answer.status == 422, answer.body
        check_problem(answer)
        assert "m_ecod.safetensors" in answer.json["detail"]
    assert server.ask("GET", ANOMALY + "/models").json["data"] == []
    path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


def test_a_file_larger_than_memory_may_hold_is_not_read(server, folder):
    path = folder / "models" / "anomaly" / "m_ecod.safetensors"
    path.write_bytes(sound())
    os.truncate(path, 2**40)
    for answer in asked(server):
        assert answer.status == 413, answer.body
        check_problem(answer)
    path.unlink()


def test_the_list_is_json_whatever_lies_in_the_folder(server, folder):
    models = folder / "models" / "anomaly"
    names = ["x.joblib", "x.pt", ".hidden.safetensors", "x.safetensors.bak", "\udcff.safetensors", "a b.safetensors"]
    for name in names:
        (models / name).write_bytes(sound())
    listed = server.ask("GET", ANOMALY + "/models")
    assert listed.status == 200
    assert json.loads(listed.body)["total"] == len(listed.json["data"])
    for name in names:
        (models / name).unlink()
