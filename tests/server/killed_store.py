"""Drives a store of models in processes that are killed at a chosen step, and checks what each leaves behind.

One process forks a child for each kill. The child saves, keeps and deletes by a seeded schedule, and says on a pipe of
each change that it is done before it begins the next. SIGKILL comes at a step of the schedule's choice: before or after
one of the calls that change the disk, or in the middle of a write. The parent then opens the folder as a server that
starts does, and looks whether what was said to be done is there, whole, and scores as it did.

    python -m tests.server.killed_store FOLDER SEED KILLS
"""

import os
import random
import signal
import sys
from pathlib import Path

import millstream as ms
from millstream.server.model_codec import DetectorCodec
from millstream.server.model_store import ModelStore

ROWS = [{"x": float(n), "verb": "GP"[n % 2]} for n in range(12)]
BASES = ("a", "b")
CALLS = ("open", "write", "fsync", "replace", "link", "unlink")


def store_of(folder):
    made = ModelStore(Path(folder), 10**8, DetectorCodec())
    made.open()
    return made


class Fits:
    """Ten models that differ, as the bytes of their fits and as the scores they give."""

    def __init__(self):
        self.detectors = [
            ms.Detector("ecod", schema={"x": "numeric", "verb": "label"} if n % 2 else {"x": "numeric"}).fit(
                [row | {"x": row["x"] * (n + 1) + row["x"] ** 2 % (n + 2)} for row in ROWS]
            )
            for n in range(10)
        ]
        self.bytes = [detector.to_bytes() for detector in self.detectors]
        self.scores = [detector.raw_score(ROWS).tobytes() for detector in self.detectors]


def change(store, fits, chance, acknowledge):
    """One change of the folder, told when it is done."""
    base, number = chance.choice(BASES), chance.randrange(10)
    kind = chance.choice(("version", "overwrite", "overwrite", "keep", "delete"))
    models = store.list()
    if kind in ("version", "overwrite") or not models:
        detector = fits.detectors[number]
        labels = {"backend": "ecod", "description": str(number)}
        stored = store.save(base, labels, fits.bytes[number], kind == "overwrite", detector)
        acknowledge("saved", stored.filename, number)
    elif kind == "keep":
        found = chance.choice(models)
        kept = store.keep(found.labels.base_name, None, None)
        acknowledge("saved", kept.filename, int(kept.labels.description))
    else:
        found = chance.choice(models)
        acknowledge("deleting", found.filename, 0)
        store.delete(found.filename)
        acknowledge("deleted", found.filename, 0)


def die_at(step, chance):
    """Count the calls that change the disk, and die in or around the one with that number."""
    left = [step]

    def counted(call, name):
        def counting(*arguments, **options):
            left[0] -= 1
            if left[0]:
                return call(*arguments, **options)
            when = chance.choice(("before", "after", "half"))
            try:
                if when == "half" and name == "write":
                    call(arguments[0], arguments[1][: len(arguments[1]) // 2])
                elif when != "before":
                    call(*arguments, **options)
            finally:
                os.kill(os.getpid(), signal.SIGKILL)

        return counting

    for name in CALLS:
        setattr(os, name, counted(getattr(os, name), name))


def child(folder, fits, seed, pipe):
    """Change the folder until the kill comes."""
    chance = random.Random(seed)
    told = os.write
    store = store_of(folder)
    die_at(chance.randrange(1, 60), chance)
    while True:
        change(store, fits, chance, lambda *what: told(pipe, (" ".join(map(str, what)) + "\n").encode()))


def check(folder, fits, held, deleting, seed):
    """What was acknowledged is there and scores the same; nothing half is listed; no draft is left."""
    store = store_of(folder)
    assert not list(Path(folder).glob(".*")), (seed, "a draft was left")
    listed = {stored.filename: stored for stored in store.list()}
    assert {path.name for path in Path(folder).glob("*.safetensors")} == set(listed), (seed, "a half file")
    for filename, stored in listed.items():
        number = int(stored.labels.description)
        assert store.load(stored).raw_score(ROWS).tobytes() == fits.scores[number], (seed, filename)
    lost = set(held) - set(listed) - deleting
    assert not lost, (seed, lost)
    for path in Path(folder).glob("*_encoder.json"):
        assert path.name.replace("_encoder.json", ".safetensors") in listed, (seed, path.name)
    return {filename: int(stored.labels.description) for filename, stored in listed.items()}


def main(folder, seed, kills):
    fits = Fits()
    held: dict[str, int] = {}
    acknowledged = 0
    for number in range(kills):
        reading, writing = os.pipe()
        process = os.fork()
        if process == 0:
            os.close(reading)
            child(folder, fits, seed + number, writing)
        os.close(writing)
        with os.fdopen(reading) as told:
            lines = [line.split() for line in told]
        _, status = os.waitpid(process, 0)
        assert os.WTERMSIG(status) == signal.SIGKILL, (seed + number, status)
        deleting = set()
        for what, filename, model in lines:
            acknowledged += 1
            deleting.discard(filename)
            if what == "saved":
                held[filename] = int(model)
            elif what == "deleting":
                deleting.add(filename)
            else:
                held.pop(filename, None)
        found = check(folder, fits, held, deleting, seed + number)
        other = [filename for filename, model in held.items() if found.get(filename, model) != model]
        # The one change that was cut off may have replaced one model whole; no other may differ, and no version.
        assert len(other) <= 1, (seed + number, other)
        assert all(filename.count("_") == 1 for filename in other), (seed + number, other)
        held = found
        if len(found) > 12:
            for stored in store_of(folder).list()[6:]:
                store_of(folder).delete(stored.filename)
                held.pop(stored.filename)
    print(kills, acknowledged)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
