"""autoencoder: the same scores as torch from the same weights, statistics like PyOD's, and sound without torch."""

import subprocess
import sys

import millstream as ms
import numpy as np
import pytest
from millstream.backend.autoencoder import Autoencoder, _network
from millstream.backend.base import FitContext

CHANCE = np.random.default_rng(1)
HIDDEN = CHANCE.normal(size=(400, 2))
TRAINING = np.hstack([HIDDEN, HIDDEN @ CHANCE.normal(size=(2, 4)) + 0.05 * CHANCE.normal(size=(400, 4))])
ROWS = 3 * CHANCE.normal(size=(100, 6))
SHORT = FitContext(epochs=5)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"hidden_neuron_list": [5]},
        {"hidden_neuron_list": [12, 7, 3], "batch_norm": False, "dropout_rate": 0.0},
        {"preprocessing": False, "optimizer_name": "sgd", "weight_decay": 0.0},
        *({"hidden_activation_name": name} for name in ("identity", "leaky_relu", "elu", "sigmoid", "tanh")),
        *({"hidden_activation_name": name} for name in ("softplus", "softmax")),
    ],
    ids=str,
)
def test_scores_are_torchs_from_the_same_weights(params, monkeypatch):
    import torch

    networks = []
    monkeypatch.setattr(
        "millstream.backend.autoencoder._network",
        lambda *told: networks.append(_network(*told)) or networks[-1],
    )
    ours = Autoencoder(params, SHORT)
    ours.fit(TRAINING)
    scale = ours.arrays()["scale"]
    rows = torch.from_numpy(((ROWS - scale[0]) / scale[1]).astype(np.float32))
    with torch.no_grad():
        restored = networks[0].eval()(rows)
    assert np.allclose(ours.score(ROWS), np.linalg.norm((rows - restored).numpy(), axis=1), rtol=2e-6)


def test_scores_are_like_pyods():
    import torch
    from pyod.models.auto_encoder import AutoEncoder

    ours = Autoencoder({}, FitContext(epochs=10)).fit(TRAINING)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        oracle = AutoEncoder(epoch_num=10, verbose=0).fit(TRAINING).decision_scores_
    finally:
        torch.set_num_threads(threads)
    assert np.corrcoef(ours, oracle)[0, 1] > 0.7
    assert np.mean(ours) == pytest.approx(np.mean(oracle), rel=0.2)


def test_random_numbers_and_threads_of_torch_are_as_they_were():
    import torch

    torch.manual_seed(5)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    Autoencoder({}, SHORT).fit(TRAINING)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(
    ("training", "params", "context"),
    [
        (TRAINING[:2], {}, SHORT),
        (TRAINING[:40], {"batch_size": 1}, SHORT),
        (TRAINING[:40], {"batch_size": 1, "batch_norm": False}, SHORT),
        (TRAINING[:33], {}, SHORT),
        (np.ones((50, 3)), {}, SHORT),
        (TRAINING, {"lr": 1.0, "optimizer_name": "sgd", "batch_norm": False}, SHORT),
        (np.vstack([TRAINING, [[1e300] * 6]]), {"preprocessing": False}, SHORT),
    ],
    ids=["2 rows", "batch of 1", "batch of 1, no norm", "1 row over", "constant", "diverges", "beyond float32"],
)
def test_every_fit_has_finite_scores(training, params, context):
    ours = Autoencoder(params, context)
    assert np.isfinite(ours.fit(training)).all()
    assert np.isfinite(ours.score(training + 1.0)).all()


def test_epochs_and_batch_size_are_those_of_the_fit_unless_the_parameters_say_otherwise():
    def bytes_of(**told):
        return ms.Detector("autoencoder", **told).fit(TRAINING).raw_score(ROWS).tobytes()

    asked = bytes_of(epochs=2, batch_size=16)
    assert asked == bytes_of(params={"epoch_num": 2, "batch_size": 16})
    assert asked != bytes_of(epochs=3, batch_size=16)
    assert asked != bytes_of(epochs=2, batch_size=17)


def test_without_torch_a_model_scores_and_a_fit_names_the_extra(tmp_path):
    fitted = ms.Detector("autoencoder", epochs=2).fit(TRAINING)
    fitted.save(tmp_path / "model.safetensors")
    program = f"""
import sys
sys.modules["torch"] = None  # as if it were not installed
import millstream as ms
print(ms.Detector.load({str(tmp_path / "model.safetensors")!r}).raw_score([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]])[0])
print([info.available for info in ms.backends() if info.backend == "autoencoder"])
for start in (lambda: ms.Detector("autoencoder").fit([[1.0], [2.0]]), lambda: ms.Stream(backend="autoencoder")):
    try:
        start()
    except ms.InvalidRequestError as error:
        print(error)
"""
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    score, available, *refusals = said.splitlines()
    assert float(score) == fitted.raw_score([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]])[0]
    assert available == "[False]"
    assert len(refusals) == 2
    assert all("pip install 'millstream[torch]'" in refusal for refusal in refusals)
