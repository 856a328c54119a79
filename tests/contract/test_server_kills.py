"""SIGKILL of a whole server while clients fit, save and delete: what it answered is there after the next start."""

import contextlib
import http.client
import random
import threading

import millstream as ms
import numpy as np
import pytest

from tests.contract.server_process import ServerProcess

ANOMALY = "/v1/ml/anomaly"
KILLS = 8
DATA = [np.random.default_rng(n).normal(size=(40, 2)).round(6).tolist() for n in range(4)]
BACKENDS = ("ecod", "ecod", "ecod", "isolation_forest")
SCORES = [
    ms.Detector(backend).fit(data).raw_score(data[:5]).tolist() for backend, data in zip(BACKENDS, DATA, strict=True)
]


class Client(threading.Thread):
    """Fits, saves and deletes models of its own name until the server is gone; remembers what was answered."""

    def __init__(self, server, name, seed):
        super().__init__()
        self.server, self.name_of_model, self.chance = server, name, random.Random(seed)
        self.held = {}  # by exact name: the number of the model; None while a deletion is not answered
        self.seen = threading.Event()

    def run(self):
        with contextlib.suppress(ConnectionError, http.client.HTTPException, TimeoutError):
            while True:
                self.change()
                self.seen.set()

    def change(self):
        number = self.chance.randrange(4)
        versions = [name for name, held in self.held.items() if held is not None]
        if len(versions) > 3 and self.chance.random() < 0.5:
            name, backend = self.chance.choice(versions).split("/")
            self.held[f"{name}/{backend}"] = None
            assert self.server.ask("DELETE", f"{ANOMALY}/models/{name}_{backend}.safetensors").status == 200
            del self.held[f"{name}/{backend}"]
            return
        fit = {"model": self.name_of_model, "backend": BACKENDS[number], "data": DATA[number]}
        answer = self.server.ask("POST", ANOMALY + "/fit", fit)
        assert answer.status == 200, answer.body
        self.held[f"{answer.json['versioned_name']}/{BACKENDS[number]}"] = number
        kept = self.server.ask("POST", ANOMALY + "/save", {"model": self.name_of_model})
        assert kept.status == 200, kept.body


@pytest.mark.timeout(600)
def test_a_killed_server_starts_again_with_every_model_it_acknowledged(tmp_path):
    chance = random.Random(20261126)
    held = {}
    for kill in range(KILLS):
        server = ServerProcess(tmp_path)
        check(server, held, tmp_path)
        clients = [Client(server, f"m{kill}-{n}", kill * 10 + n) for n in range(3)]
        for client in clients:
            client.start()
        for client in clients:
            assert client.seen.wait(60)
        while chance.random() < 0.9:
            assert server.ask("GET", ANOMALY + "/models").status == 200
        server.kill()
        for client in clients:
            client.join(60)
            held |= client.held
    server = ServerProcess(tmp_path)
    check(server, held, tmp_path)
    assert server.stop() == 0


def check(server, held, folder):
    """Every model answered for is listed and scores as it did; no draft is left; the rest of the list is whole."""
    models = server.ask("GET", ANOMALY + "/models").json["data"]
    listed = {f"{model['name']}/{model['backend']}": model for model in models}
    files = {path.name for path in (folder / "models" / "anomaly").iterdir()}
    assert files == {model["filename"] for model in models}
    for name, number in held.items():
        if number is not None:
            assert name in listed
            version, backend = name.split("/")
            ask = {"model": version, "backend": backend, "data": DATA[number][:5]}
            answer = server.ask("POST", ANOMALY + "/score", ask)
            assert [row["raw_score"] for row in answer.json["data"]] == pytest.approx(SCORES[number], rel=1e-12)
    for model in models:
        ask = {"model": model["name"], "backend": model["backend"]}
        assert server.ask("POST", ANOMALY + "/load", ask).status == 200
