"""The use cases of the guide, over HTTP, on data as their users have it: planted anomalies found, false alarms few."""

import numpy as np
import pytest

ANOMALY = "/v1/ml/anomaly"


def post(server, route, **body):
    answer = server.ask("POST", ANOMALY + route, body)
    assert answer.status == 200, answer.body[:1000]
    return answer.json


def alarms(server, fit, normal, planted, **ask):
    """The rates at which normal and planted rows are detected by a model fitted with `fit`."""
    post(server, "/fit", **fit)
    found = post(server, "/detect", model=fit["model"], data=normal + planted, **ask)
    indices = [row["index"] for row in found["data"]]
    false = sum(index < len(normal) for index in indices)
    return false / len(normal), (len(indices) - false) / len(planted)


def requests(chance, count):
    """Requests of an API's days: two kinds of clients, five endpoints of different weight and size."""
    endpoints = ("/api/users", "/api/orders", "/api/items", "/api/login", "/api/search")
    sizes = np.array([1_000, 4_000, 2_500, 300, 8_000])
    agents = [f"Mozilla/5.0 (client {n})" for n in range(40)]
    rows = []
    for _ in range(count):
        at = chance.choice(5, p=[0.4, 0.25, 0.2, 0.1, 0.05])
        rows.append(
            {
                "response_time_ms": round(float(chance.lognormal(4.5, 0.3)), 1),
                "bytes": int(sizes[at] * chance.lognormal(0, 0.2)),
                "status": int(chance.choice([200, 201, 304, 404], p=[0.85, 0.08, 0.05, 0.02])),
                "method": str(chance.choice(["GET", "POST"], p=[0.8, 0.2])),
                "endpoint": endpoints[at],
                "user_agent": agents[chance.integers(40)],
            }
        )
    return rows


LOG_SCHEMA = {
    "response_time_ms": "numeric",
    "bytes": "numeric",
    "status": "label",
    "method": "label",
    "endpoint": "label",
    "user_agent": "hash",
}


def attacks(chance):
    """Exfiltration, injection that times out, scans of what is not there, floods that slow everything down."""
    base = requests(chance, 40)
    changes = [
        {"bytes": 5_000_000, "user_agent": "curl/8.0"},
        {"response_time_ms": 30_000.0, "status": 500, "user_agent": "sqlmap/1.0"},
        {"method": "DELETE", "endpoint": "/../etc/passwd", "status": 403, "bytes": 50, "response_time_ms": 1.0},
        {"response_time_ms": 9_000.0, "bytes": 500_000, "method": "DELETE"},
    ]
    return [row | changes[n % 4] for n, row in enumerate(base)]


def test_api_logs_with_isolation_forest_zscore_label_and_hash(server):
    chance = np.random.default_rng(1)
    fit = {
        "model": "use-api-logs",
        "backend": "isolation_forest",
        "normalization": "zscore",
        "contamination": 0.02,
        "schema": LOG_SCHEMA,
        "data": requests(chance, 2_000),
    }
    false, found = alarms(server, fit, requests(chance, 2_000), attacks(chance), threshold=2.0)
    assert found >= 0.95
    assert false <= 0.08


def readings(chance, count, start=0):
    """Temperature, pressure, humidity and vibration of a machine: a daily wave, humidity against temperature."""
    hour = (start + np.arange(count)) / 12
    temperature = 70 + 4 * np.sin(2 * np.pi * hour / 24) + chance.normal(0, 0.5, count)
    pressure = 1013 + chance.normal(0, 2, count)
    humidity = 45 - 1.5 * (temperature - 70) + chance.normal(0, 1, count)
    vibration = chance.gamma(9, 0.05, count)
    return np.column_stack([temperature, pressure, humidity, vibration])


def faults(chance, count):
    """Sensors stuck at zero, spikes, and a bearing that shakes."""
    rows = readings(chance, count)
    rows[0::3, 0] = 0.0
    rows[1::3, 1] += 60.0
    rows[2::3, 3] *= 8.0
    return rows


@pytest.mark.parametrize("backend", ["isolation_forest", "local_outlier_factor"])
def test_sensors_at_3_sigma(server, backend):
    chance = np.random.default_rng(2)
    fit = {
        "model": f"use-sensors-{backend}",
        "backend": backend,
        "normalization": "zscore",
        "contamination": 0.05,
        "data": readings(chance, 2_000).tolist(),
    }
    normal = readings(chance, 2_000, 2_000).tolist()
    false, found = alarms(server, fit, normal, faults(chance, 60).tolist(), threshold=3.0)
    assert found >= 0.95
    assert false <= 0.02


def payments(chance, count):
    """Purchases: what they cost depends on what they are for, most by day, nearly all at home."""
    kinds = ("grocery", "fuel", "restaurant", "online", "travel")
    typical = (35.0, 50.0, 40.0, 60.0, 250.0)
    rows = []
    for _ in range(count):
        at = chance.choice(5, p=[0.4, 0.2, 0.2, 0.17, 0.03])
        rows.append(
            {
                "amount": round(float(typical[at] * chance.lognormal(0, 0.4)), 2),
                "merchant_category": kinds[at],
                "hour": int(np.clip(chance.normal(14, 3.5), 6, 23)),
                "country": str(chance.choice(["US", "CA", "MX"], p=[0.96, 0.03, 0.01])),
            }
        )
    return rows


PAYMENT_SCHEMA = {"amount": "numeric", "merchant_category": "label", "hour": "numeric", "country": "label"}


def test_card_payments_with_one_class_svm(server):
    chance = np.random.default_rng(3)
    fit = {
        "model": "use-cards",
        "backend": "one_class_svm",
        "contamination": 0.03,
        "schema": PAYMENT_SCHEMA,
        "data": payments(chance, 1_000),
    }
    frauds = [
        row | {"amount": float(chance.uniform(2_000, 9_000)), "hour": int(chance.integers(0, 5)), "country": "RO"}
        for row in payments(chance, 50)
    ]
    false, found = alarms(server, fit, payments(chance, 1_000), frauds)
    assert found >= 0.95
    assert false <= 0.08


def flows(chance, count):
    """Network flows of three services, each a cluster of its own: web, mail, and a backup that moves much."""
    services = (("TCP", 443, 8.0, 7.0), ("TCP", 25, 9.5, 6.0), ("UDP", 53, 4.5, 5.0))
    rows = []
    for _ in range(count):
        protocol, port, received, sent = services[chance.choice(3, p=[0.6, 0.15, 0.25])]
        bytes_in, bytes_out = chance.lognormal(received, 0.4), chance.lognormal(sent, 0.4)
        rows.append(
            {
                "bytes_in": int(bytes_in),
                "bytes_out": int(bytes_out),
                "packets": int((bytes_in + bytes_out) / 700) + 1 + int(chance.poisson(2)),
                "duration_ms": round(float(chance.lognormal(4, 0.5)), 1),
                "protocol": protocol,
                "port": port,
            }
        )
    return rows


FLOW_SCHEMA = {
    "bytes_in": "numeric",
    "bytes_out": "numeric",
    "packets": "numeric",
    "duration_ms": "numeric",
    "protocol": "label",
    "port": "label",
}


def intrusions(chance):
    """Scans of ports nobody uses, exfiltration, and beacons that stay open for an hour."""
    base = flows(chance, 60)
    changes = [
        {"bytes_in": 60, "bytes_out": 40, "packets": 400, "duration_ms": 1.0},
        {"bytes_out": 80_000_000, "packets": 60_000},
        {"duration_ms": 3_600_000.0, "packets": 1_500},
    ]
    return [row | changes[n % 3] for n, row in enumerate(base)]


def test_network_flows_with_local_outlier_factor(server):
    chance = np.random.default_rng(4)
    fit = {
        "model": "use-flows",
        "backend": "local_outlier_factor",
        "normalization": "zscore",
        "contamination": 0.02,
        "schema": FLOW_SCHEMA,
        "data": flows(chance, 2_000),
    }
    false, found = alarms(server, fit, flows(chance, 2_000), intrusions(chance), threshold=3.0)
    assert found >= 0.95
    assert false <= 0.03
