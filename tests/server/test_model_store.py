"""Models on disk: names, versions, damage, links, other processes."""

import errno
import fcntl
import json
import os
import shutil
import stat
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from millstream.errors import (
    ConflictError,
    InvalidRequestError,
    ModelFileError,
    NotFoundError,
    OverloadedError,
    StorageFullError,
    TooLargeError,
)
from millstream.server import model_labels
from millstream.server.model_store import ModelStore
from msgspec import structs

ONE = 2 * 1024**2


def file_of(text):
    header = json.dumps({"__metadata__": {"other": "kept"}, "a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}})
    return len(header).to_bytes(8, "little") + header.encode() + text


class Bytes:
    """A detector is what stands behind the header; one that begins with "encoder" has an encoder."""

    def decode(self, data, filename):
        return data[8 + int.from_bytes(data[:8], "little") :]

    def memory_bytes(self, detector):
        return 0

    def encoder_text(self, detector):
        return detector if detector.startswith(b"encoder") else None


@pytest.fixture
def store(tmp_path):
    made = ModelStore(tmp_path / "models", ONE, Bytes())
    made.open()
    return made


def another(store, memory=ONE):
    return ModelStore(store.folder, memory, Bytes())


def save(store, base="m", backend="ecod", text=b"1", overwrite=False, description=None):
    return store.save(base, {"backend": backend, "description": description}, file_of(text), overwrite, text)


def names(store):
    return sorted(path.name for path in store.folder.iterdir())


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
    first, other = save(store, text=b"1"), save(store, backend="isolation_forest", text=b"2")
    plain = save(store, text=b"3", overwrite=True)
    last = save(store, text=b"4")
    assert store.find("m").filename == last.filename
    assert store.find("m-latest").filename == last.filename
    assert store.find("m", "isolation_forest").filename == other.filename
    assert store.find(first.labels.name, "ecod").filename == first.filename
    store.delete(last.filename)
    assert store.find("m").filename == plain.filename == "m_ecod.safetensors"
    assert store.load(store.find("m")) == b"3"


def test_another_process_sees_and_removes_models(store):
    saved = save(store, text=b"1")
    other = another(store)
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
    small = another(store, 2 * stored[0].size_bytes)
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
    version = save(store, text=b"encoder 1")
    kept = store.keep("m-latest", None, "the good one")
    assert (kept.filename, kept.labels.description) == ("m_ecod.safetensors", "the good one")
    assert store.encoder_path(kept).read_bytes() == b"encoder 1"
    assert store.find("m").filename == version.filename
    assert store.keep(version.labels.name, "ecod", None).filename == version.filename
    store.delete(version.filename)
    assert store.load(store.find("m")) == b"encoder 1"
    assert len(store.list()) == 1


def test_the_copy_of_an_encoder_is_never_read(store):
    stored = save(store, text=b"encoder 1")
    path = store.encoder_path(stored)
    path.unlink()
    os.mkfifo(path)
    assert store.load(another(store).find("m")) == b"encoder 1"
    assert store.encoder_path(store.keep("m", None, None)).read_bytes() == b"encoder 1"


def test_a_newer_fit_is_not_overwritten_by_keeping_an_older_one(store, monkeypatch):
    save(store, text=b"old", overwrite=True)
    other, read = another(store), store._read

    def read_then_fit(path):
        monkeypatch.setattr(store, "_read", read)
        data = read(path)
        save(other, text=b"new", overwrite=True)
        return data

    monkeypatch.setattr(store, "_read", read_then_fit)
    assert store.load(store.keep("m", None, "described")) == b"new"
    assert store.load(store.find("m")) == b"new"
    assert store.find("m").labels.description == "described"


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
    fresh = another(store)
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


@pytest.mark.parametrize("overwrite", [True, False])
def test_a_name_that_is_a_version_of_another_model_is_not_taken_over(store, overwrite):
    version = save(store)
    with pytest.raises(ConflictError, match="is a version of"):
        save(store, base=version.labels.name, overwrite=overwrite)
    assert store.load(store.find("m")) == b"1"


def test_a_version_does_not_take_the_name_of_another_model(store, monkeypatch):
    monkeypatch.setattr(store, "_next_ns", lambda base: 1_800_000_000 * 10**9)
    taken = save(store, base="m_20270115_080000", text=b"other", overwrite=True)
    assert save(store).labels.name == "m_20270115_080001"
    assert store.find("m_20270115_080000").identity == taken.identity


@pytest.mark.parametrize("name", ["../x.safetensors", "/etc/passwd", ".x", "a/b.safetensors", "a\x00b", "x" * 201])
def test_no_filename_leaves_the_folder(store, name):
    with pytest.raises(InvalidRequestError):
        store.delete(name)


@pytest.mark.parametrize("name", ["none.safetensors", "m_ecod_encoder.json", "m"])
def test_what_is_no_model_file_is_not_deleted(store, name):
    save(store, text=b"encoder", overwrite=True)
    with pytest.raises(NotFoundError):
        store.delete(name)
    assert names(store) == ["m_ecod.safetensors", "m_ecod_encoder.json"]


def test_deleting_takes_the_encoder_along(store):
    store.delete(save(store, text=b"encoder", overwrite=True).filename)
    assert names(store) == []


def test_a_fit_without_encoder_takes_the_encoder_of_the_one_before_away(store):
    save(store, text=b"encoder", overwrite=True)
    save(store, text=b"none", overwrite=True)
    assert names(store) == ["m_ecod.safetensors"]


@pytest.mark.parametrize(
    ("number", "says"),
    [(errno.ENOSPC, "is full"), (errno.EDQUOT, "is full"), (errno.EROFS, "read-only"), (errno.EACCES, "denied")],
)
@pytest.mark.parametrize("step", ["open", "write", "fsync", "replace", "link"])
def test_a_disk_that_takes_nothing_changes_nothing(store, monkeypatch, step, number, says):
    save(store, text=b"encoder old", overwrite=True)
    before = names(store)

    def fail(first, *rest, **options):
        if step != "open" or rest[0] & os.O_CREAT:
            raise OSError(number, os.strerror(number))
        return opened(first, *rest, **options)

    opened = os.open
    monkeypatch.setattr(os, step, fail)
    for overwrite in {"replace": [True], "link": [False]}.get(step, [True, False]):
        with pytest.raises(StorageFullError, match=says):
            save(store, text=b"new", overwrite=overwrite)
    monkeypatch.undo()
    assert names(store) == before
    assert another(store).load(store.find("m")) == b"encoder old"


CHANGES = {
    "a new name": lambda store: save(store, text=b"encoder new"),
    "over a name": lambda store: save(store, text=b"encoder new", overwrite=True),
    "without an encoder": lambda store: save(store, text=b"new", overwrite=True),
    "delete": lambda store: store.delete("m_ecod.safetensors"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_names_that_do_not_reach_the_disk_are_taken_back(store, monkeypatch, change):
    save(store, text=b"encoder old", overwrite=True)
    before = names(store)

    def fail(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        synced(descriptor)

    synced = os.fsync
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StorageFullError, match="is full"):
        CHANGES[change](store)
    monkeypatch.undo()
    assert names(store) == before
    assert (store.folder / "m_ecod_encoder.json").read_bytes() == b"encoder old"
    assert another(store).load(another(store).find("m")) == b"encoder old"


def test_a_folder_that_was_taken_away_is_made_again(store):
    save(store)
    shutil.rmtree(store.folder)
    assert store.list() == []
    with pytest.raises(NotFoundError):
        store.find("m")
    save(store, text=b"2")
    assert store.load(store.find("m")) == b"2"


def test_a_file_in_the_place_of_the_folder_is_named_and_left_alone(store):
    shutil.rmtree(store.folder)
    store.folder.write_text("mine")
    assert store.list() == []
    with pytest.raises(StorageFullError, match="cannot be used"):
        save(store)
    assert store.folder.read_text() == "mine"


def test_an_exact_version_wins_over_a_base_of_that_name(store):
    version = save(store)
    later = save(store, base="other", text=b"later")
    base = version.labels.name
    labels = model_labels.Labels(name=f"{base}_1", base_name=base, backend="ecod", created_ns=2**62)
    later.path.write_bytes(model_labels.with_labels(file_of(b"later"), labels))  # as an earlier release let it be
    assert another(store).find(version.labels.name).filename == version.filename


def test_drafts_that_nobody_writes_are_cleared_away_at_start(store):
    dead, alive = store.folder / ".dead.tmp", store.folder / ".alive.tmp"
    dead.write_bytes(b"half")
    with alive.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        another(store).open()
        assert names(store) == [".alive.tmp"]
    another(store).open()
    assert names(store) == []


def test_encoders_without_a_model_are_cleared_away_at_start_and_nothing_else(store):
    save(store, text=b"encoder", overwrite=True)
    (store.folder / "n_ecod_encoder.json").write_text("{}")
    (store.folder / "mine_encoder.json").write_text("{}")
    another(store).open()
    assert names(store) == ["m_ecod.safetensors", "m_ecod_encoder.json", "mine_encoder.json"]


def test_a_model_that_memory_has_no_room_for_is_refused(store):
    saved = save(store, text=b"x" * 1000)
    small = another(store, 500)
    for ask in (lambda: small.load(small.find("m")), lambda: save(small, text=b"x" * 1000)):
        with pytest.raises(TooLargeError, match="MILLSTREAM_MODEL_MEMORY_BYTES"):
            ask()
    assert names(store) == [saved.filename]


def test_many_who_ask_at_once_read_a_file_once(store):
    stored, reads, gate = save(store), [], threading.Barrier(8)
    other = another(store)
    read = other._read
    other._read = lambda path: (reads.append(path), read(path))[1]

    def load():
        gate.wait(10)
        return other.load(stored)

    with ThreadPoolExecutor(8) as threads:
        assert [one.result() for one in [threads.submit(load) for _ in range(8)]] == [b"1"] * 8
    assert len(reads) == 1


def test_processes_that_save_at_once_get_names_of_their_own(store):
    stores = [another(store) for _ in range(6)]
    with ThreadPoolExecutor(6) as threads:
        saved = list(threads.map(lambda s: [save(s, text=bytes([n])) for n in range(5)], stores))
    files = {one.filename for some in saved for one in some}
    assert len(files) == 30
    assert sorted(files) == names(store)


def test_a_file_written_over_in_place_is_read_anew(store):
    old = save(store, text=b"old", overwrite=True)
    assert store.load(store.find("m")) == b"old"
    old.path.write_bytes(old.path.read_bytes().replace(b"old", b"newer"))  # as cp does: the folder stays as it was
    assert store.known("m") is None
    assert store.load(store.find("m")) == b"newer"


def test_a_model_deleted_while_it_is_read_gives_way_to_the_one_before(store, monkeypatch):
    save(store, text=b"before")
    newest = save(store, text=b"newest")
    store = another(store)
    load = store.load

    def late(stored):
        if newest.path.exists():
            another(store).delete(newest.filename)
        return load(stored)

    monkeypatch.setattr(store, "load", late)
    stored, detector = store.get("m")
    assert (stored.labels.name != newest.labels.name, detector) == (True, b"before")


def test_the_newest_fit_is_the_latest_though_another_machines_clock_is_ahead(store):
    ahead = save(store, text=b"ahead")
    labels = structs.replace(ahead.labels, created_ns=ahead.labels.created_ns + 3600 * 10**9)
    ahead.path.write_bytes(model_labels.with_labels(file_of(b"ahead"), labels))
    save(store, text=b"newest")
    assert store.get("m")[1] == b"newest"


@pytest.mark.parametrize(
    ("number", "kind", "says"),
    [(errno.EMFILE, OverloadedError, "open files"), (errno.EACCES, ModelFileError, "cannot be read")],
)
def test_a_model_that_cannot_be_opened_says_why(store, monkeypatch, number, kind, says):
    saved = save(store)
    store = another(store)
    found = store.find("m")
    opened = os.open

    def fail(path, *rest, **options):
        if path == saved.path:
            raise OSError(number, os.strerror(number))
        return opened(path, *rest, **options)

    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(kind, match=says):
        store.load(found)


def test_a_folder_that_vanished_is_made_anew(store):
    store.folder.rmdir()
    assert store.list() == []
    assert store.load(save(store)) == b"1"


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "../../m"},
        {"base_name": "/etc/m"},
        {"backend": "x/../../y"},
        {"created_ns": 10**30},
        {"created_ns": -1},
        {"description": "x" * 10_001},
        {"name": "m" * 200},
    ],
)
def test_labels_that_no_request_could_give_are_refused(store, changes):
    saved = save(store, overwrite=True)
    saved.path.write_bytes(model_labels.with_labels(file_of(b"1"), structs.replace(saved.labels, **changes)))
    fresh = another(store)
    assert fresh.list() == []
    with pytest.raises(ModelFileError, match="m_ecod"):
        fresh.find("m")
