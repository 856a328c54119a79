"""Models on disk: names, versions, damage, links, other processes."""

import errno
import json
import os

import pytest
from millstream.errors import ConflictError, InvalidRequestError, ModelFileError, NotFoundError, StorageFullError
from millstream.server import model_store
from millstream.server.model_store import ModelStore


def file_of(text):
    header = json.dumps({"__metadata__": {"other": "kept"}, "a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}})
    return len(header).to_bytes(8, "little") + header.encode() + text


def body(data, filename):
    return data[8 + int.from_bytes(data[:8], "little") :]


@pytest.fixture
def store(tmp_path):
    made = ModelStore(tmp_path / "models", 1_000_000, body)
    made.open()
    return made


def save(store, base="m", backend="ecod", text=b"1", overwrite=False, description=None):
    return store.save(base, {"backend": backend, "description": description}, file_of(text), None, overwrite)


def test_versions_are_named_after_the_second_and_distinct_within_it(store):
    saved = [save(store) for _ in range(3)]
    names = [s.labels.name for s in saved]
    assert len(set(names)) == 3
    for stored in saved:
        assert stored.filename == f"{stored.labels.name}_ecod.safetensors"
        assert stored.labels.name[2:].replace("_", "").isdigit()
        assert len(stored.labels.name) == len("m_20260101_000000")
    assert [s.labels.name for s in store.list()] == names[::-1]


def test_names_resolve_to_the_newest_fit_of_them(store):
    first, other = save(store, text=b"1"), save(store, backend="hbos", text=b"2")
    plain = save(store, text=b"3", overwrite=True)
    last = save(store, text=b"4")
    assert store.find("m").filename == last.filename
    assert store.find("m-latest").filename == last.filename
    assert store.find("m", "hbos").filename == other.filename
    assert store.find(first.labels.name, "ecod").filename == first.filename
    store.delete(last.filename)
    assert store.find("m").filename == plain.filename == "m_ecod.safetensors"
    assert store.load(store.find("m")) == b"3"


def test_another_process_sees_and_removes_models(store):
    saved = save(store, text=b"1")
    other = ModelStore(store.folder, 1_000_000, body)
    assert other.load(other.find("m")) == b"1"
    newer = save(other, text=b"2")
    assert store.load(store.find("m")) == b"2"
    other.delete(newer.filename)
    assert store.load(store.find("m")) == b"1"
    other.delete(saved.filename)
    with pytest.raises(NotFoundError, match="Model 'm' not found"):
        store.find("m")


def test_the_least_recently_used_leave_memory_not_disk(store):
    stored = [save(store, base=name, text=b"x" * 400) for name in "abc"]
    small = ModelStore(store.folder, 2 * stored[0].size_bytes, body)
    for one in (stored[0], stored[1], stored[0], stored[2]):
        small.load(one)
    assert [small.cached(one) is not None for one in stored] == [True, False, True]
    assert small.load(stored[1]) == b"x" * 400


def test_names_come_from_the_file_not_from_its_name(store):
    saved = save(store, base="a_b")
    renamed = saved.path.rename(store.folder / "other.safetensors")
    assert store.find("a_b").path == renamed
    with pytest.raises(NotFoundError):
        store.find("other")


def test_a_model_can_be_kept_under_its_plain_name_and_described(store):
    version = store.save("m", {"backend": "ecod"}, file_of(b"1"), b"{}", False)
    kept = store.keep(store.find("m"), "m", "the good one")
    assert (kept.filename, kept.labels.description) == ("m_ecod.safetensors", "the good one")
    assert store.encoder_path(kept).read_bytes() == b"{}"
    assert store.find("m").filename == version.filename
    store.delete(version.filename)
    assert store.load(store.find("m")) == b"1"
    assert len(store.list()) == 1


@pytest.mark.parametrize("damage", ["flip", "cut", "foreign", "empty", "huge"])
def test_a_file_that_is_damaged_or_foreign_is_not_listed_and_named_when_asked_for(store, damage):
    saved = save(store, overwrite=True)
    data = bytearray(saved.path.read_bytes())
    at = data.index(b"base_name")
    damaged = {
        "flip": data[:at] + b"B" + data[at + 1 :],
        "cut": data[: at + 5],
        "foreign": b"\x80\x04\x95pickle" * 20,
        "empty": b"",
        "huge": b"\xff" * 8 + data[8:],
    }[damage]
    saved.path.write_bytes(damaged)
    fresh = ModelStore(store.folder, 1_000_000, body)
    fresh.open()
    assert fresh.list() == []
    with pytest.raises(ModelFileError, match="m_ecod"):
        fresh.find("m")


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_is_no_regular_file_is_never_opened(store, kind):
    path = store.folder / "m_ecod.safetensors"
    if kind == "link":
        path.symlink_to(save(store, base="real").path)
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    assert [s.labels.base_name for s in store.list() if s.filename == path.name] == []
    for ask in (lambda: store.find("m"), lambda: store.find("m", "ecod"), lambda: store.delete(path.name)):
        with pytest.raises(ModelFileError, match="link, pipe or folder"):
            ask()


def test_a_name_that_is_a_version_of_another_model_is_not_taken_over(store):
    version = save(store)
    with pytest.raises(ConflictError, match="is a version of"):
        save(store, base=version.labels.name, overwrite=True)
    assert store.load(store.find("m")) == b"1"


@pytest.mark.parametrize("name", ["../x.safetensors", "/etc/passwd", ".x", "a/b.safetensors", "a\x00b", "x" * 201])
def test_no_filename_leaves_the_folder(store, name):
    with pytest.raises(InvalidRequestError):
        store.delete(name)


@pytest.mark.parametrize("name", ["none.safetensors", "m_ecod_encoder.json", "m"])
def test_what_is_no_model_file_is_not_deleted(store, name):
    store.save("m", {"backend": "ecod"}, file_of(b"1"), b"{}", True)
    with pytest.raises(NotFoundError):
        store.delete(name)
    assert store.encoder_path(store.find("m")) is not None


def test_deleting_takes_the_encoder_along(store):
    stored = store.save("m", {"backend": "ecod"}, file_of(b"1"), b"{}", True)
    store.delete(stored.filename)
    assert list(store.folder.iterdir()) == []


def test_a_full_disk_changes_nothing(store, monkeypatch):
    save(store, text=b"old", overwrite=True)

    def full(path, data):
        path.write_bytes(data[:5])
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(model_store, "write_synced", full)
    for overwrite in (True, False):
        with pytest.raises(StorageFullError):
            save(store, text=b"new", overwrite=overwrite)
    assert [p.name for p in store.folder.iterdir()] == ["m_ecod.safetensors"]
    assert store.load(store.find("m")) == b"old"


def test_half_written_files_of_dead_processes_are_cleared_away_at_start(store):
    dead, alive = store.folder / ".m.safetensors.999999999.1.tmp", store.folder / f".m.safetensors.{os.getppid()}.1.tmp"
    dead.write_bytes(b"half")
    alive.write_bytes(b"half")
    ModelStore(store.folder, 1, body).open()
    assert (dead.exists(), alive.exists()) == (False, True)
