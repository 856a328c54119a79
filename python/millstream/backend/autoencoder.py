"""Autoencoder: a network that squeezes rows through a narrow layer and restores them. What it restores badly is
anomalous (Aggarwal 2015, chapter 3).

torch trains PyOD's network: linear layers with batch normalization, activation and dropout, Adam on the squared error.
Its weights are then arrays, batch normalization folded into the layers before it, and a score needs no torch. Training
is random but seeded, on one CPU thread: the same rows give the same model on the same machine. Its batches are slices
of one tensor, where PyOD reads row by row, so it is several times faster and agrees with PyOD in statistics only. If
the error ceases to be a number (a rate of learning too high) the last epoch with sound weights counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from millstream.backend.base import WIDEST, Backend, BackendInfo, Floats, Parameter

# In the order of the numbers of autoencoder_kernels.
_ACTIVATIONS = ("identity", "relu", "leaky_relu", "elu", "sigmoid", "tanh", "softplus", "softmax")
_MODULES = ("Identity", "ReLU", "LeakyReLU", "ELU", "Sigmoid", "Tanh", "Softplus", "Softmax")

_PARAMETERS = {
    "hidden_neuron_list": Parameter("ints", (64, 32), "widths of the layers down to the narrowest", 1, 1_024),
    "hidden_activation_name": Parameter("str", "relu", "activation of the hidden layers", choices=_ACTIVATIONS),
    "batch_norm": Parameter("bool", True, "normalize each hidden layer over its batch"),
    "dropout_rate": Parameter("float", 0.2, "share of units left out at each training step", 0.0, 0.9),
    "lr": Parameter("float", 1e-3, "rate of learning", 1e-7, 1.0),
    "epoch_num": Parameter("int", None, "passes over the rows; null: the 'epochs' of the fit", 1, 10_000),
    "batch_size": Parameter("int", None, "rows a step; null: the 'batch_size' of the fit", 1, 100_000),
    "optimizer_name": Parameter("str", "adam", "how weights are improved", choices=("adam", "sgd")),
    "weight_decay": Parameter("float", 1e-5, "pull of weights to 0 (in PyOD one of optimizer_params)", 0.0, 1.0),
    "preprocessing": Parameter("bool", True, "standardize columns by mean and standard deviation first"),
}


class Autoencoder(Backend):
    """A small network; a score costs two multiplications a weight."""

    info = BackendInfo(
        backend="autoencoder",
        name="Autoencoder",
        description="A neural network that learns to restore normal rows: rows it restores badly are anomalous.",
        category="deep_learning",
        speed="slow",
        memory="high",
        best_for="complex patterns across many columns, with many rows to learn from",
        parameter_info=_PARAMETERS,
        is_legacy=True,
        available=find_spec("torch") is not None,
        extra="torch",
    )
    fit_in = "process"

    @property
    def width(self) -> int:
        """The inputs of the network."""
        return int(self._scale.shape[1])

    def fit(self, rows: Floats) -> Floats:
        """Train the network with torch and take its weights over into arrays."""
        rows = np.clip(rows, -WIDEST, WIDEST)
        d, hidden = rows.shape[1], list(self.params["hidden_neuron_list"])
        scale = np.stack([np.zeros(d), np.ones(d)])
        if self.params["preprocessing"]:
            scale = np.stack([rows.mean(axis=0), rows.std(axis=0) + 1e-8])  # PyOD's: a constant column has a spread too
        sizes = [d, *hidden, *reversed(hidden[:-1]), d]
        with _one_thread(self.context.seed), np.errstate(over="ignore"):  # beyond float32: infinite, never learned
            layers = _train(((rows - scale[0]) / scale[1]).astype(np.float32), sizes, self._options())
        weights = np.concatenate([np.concatenate([weight.T.ravel(), bias]) for weight, bias in layers])
        self.take({"scale": scale, "sizes": np.array(sizes), "weights": weights})
        return self.score(rows)

    def _options(self) -> dict[str, Any]:
        given = {"epoch_num": self.context.epochs, "batch_size": self.context.batch_size}
        return self.params | {name: value for name, value in given.items() if self.params[name] is None}

    def score(self, rows: Floats) -> Floats:
        """Distances between rows and what the network makes of them."""
        from millstream.backend.autoencoder_kernels import score_rows

        return np.asarray(score_rows(rows, self._scale, self._sizes, self._weights, self._activation))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Mean and spread (2, d), widths of the layers, and their weights and biases one after the other."""
        return {"scale": self._scale, "sizes": self._sizes, "weights": self._weights}

    def take(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The network."""
        self._scale = np.ascontiguousarray(arrays["scale"], dtype=np.float64)
        self._sizes = np.ascontiguousarray(arrays["sizes"], dtype=np.int64)
        self._weights = np.ascontiguousarray(arrays["weights"], dtype=np.float64)
        self._activation = _ACTIVATIONS.index(self.params["hidden_activation_name"])
        sizes = self._sizes.tolist() if self._sizes.ndim == 1 else []
        if len(sizes) < 3 or min(sizes) < 1 or self._scale.shape != (2, sizes[0]) or sizes[0] != sizes[-1]:
            raise ValueError("the layers do not fit together")
        if not (self._scale[1] > 0).all():
            raise ValueError("a column has no spread")
        if self._weights.shape != (sum((inputs + 1) * outputs for inputs, outputs in pairwise(sizes)),):
            raise ValueError("there are not as many weights as the layers need")


@contextmanager
def _one_thread(seed: int) -> Iterator[None]:
    """torch on one thread, its random numbers from `seed`; both as they were afterwards."""
    import torch

    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.set_num_threads(1)  # layers this small lose by more, and sums would depend on how many
        torch.random.default_generator.manual_seed(seed)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def _train(rows: NDArray[np.float32], sizes: list[int], options: Mapping[str, Any]) -> list[tuple[Floats, Floats]]:
    """Weight (outputs, inputs) and bias of every layer after training on standardized `rows`."""
    import torch

    data = torch.from_numpy(rows)
    network = _network(sizes, options)
    optimizer = _optimizer(network, options)
    size = min(len(rows), max(options["batch_size"], 2 if options["batch_norm"] else 1))  # one row has no variance
    sound = _folded(network)
    for _ in range(options["epoch_num"]):
        order = torch.randperm(len(rows))
        for start in range(0, len(rows) - size + 1, size):  # as in PyOD a last, smaller batch is left out
            batch = data[order[start : start + size]]
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(network(batch), batch).backward()
            optimizer.step()
        layers = _folded(network)
        if not all(np.isfinite(part).all() for layer in layers for part in layer):
            break
        sound = layers
    return sound


def _network(sizes: list[int], options: Mapping[str, Any]) -> Any:
    """PyOD's: each hidden layer is linear, batch normalization, activation, dropout; the last is linear."""
    from torch import nn

    name = _MODULES[_ACTIVATIONS.index(options["hidden_activation_name"])]
    parts: list[Any] = []
    for inputs, outputs in pairwise(sizes[:-1]):
        linear = nn.Linear(inputs, outputs)
        nn.init.kaiming_uniform_(linear.weight)
        parts.append(linear)
        if options["batch_norm"]:
            parts.append(nn.BatchNorm1d(outputs))
        parts.append(nn.Softmax(dim=1) if name == "Softmax" else getattr(nn, name)())
        if options["dropout_rate"] > 0:
            parts.append(nn.Dropout(options["dropout_rate"]))
    return nn.Sequential(*parts, nn.Linear(sizes[-2], sizes[-1])).train()


def _optimizer(network: Any, options: Mapping[str, Any]) -> Any:
    from torch import optim

    kind = optim.Adam if options["optimizer_name"] == "adam" else optim.SGD
    return kind(network.parameters(), lr=options["lr"], weight_decay=options["weight_decay"], fused=True)


def _folded(network: Any) -> list[tuple[Floats, Floats]]:
    """The linear layers, each with the batch normalization after it folded in: y = x W' + b'."""
    layers: list[tuple[Floats, Floats]] = []
    for part in network:
        kind = type(part).__name__
        if kind == "Linear":
            layers.append((_floats(part.weight), _floats(part.bias)))
        elif kind == "BatchNorm1d":
            weight, bias = layers[-1]
            with np.errstate(invalid="ignore", over="ignore"):
                factor = _floats(part.weight) / np.sqrt(_floats(part.running_var) + part.eps)
                shifted = (bias - _floats(part.running_mean)) * factor + _floats(part.bias)
                layers[-1] = (weight * factor[:, None], shifted)
    return layers


def _floats(tensor: Any) -> Floats:
    return np.asarray(tensor.detach().numpy(), dtype=np.float64)
