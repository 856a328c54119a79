"""Which path leads where."""

import pytest
from millstream.errors import MethodNotAllowedError, NotFoundError
from millstream.server.endpoints import ENDPOINTS
from millstream.server.router import Router

ROUTER = Router(ENDPOINTS)
STREAM = b"/v1/ml/anomaly/stream"


@pytest.mark.parametrize("endpoint", [pytest.param(e, id=f"{e.method} {e.path}") for e in ENDPOINTS])
def test_each_endpoint_is_found_under_its_path(endpoint):
    path = endpoint.path.replace("{", "").replace("}", "").encode()
    found, values = ROUTER.find(endpoint.method, path)
    assert found is endpoint
    assert all(name == value for name, value in values.items())


@pytest.mark.parametrize(
    ("path", "value"), [(b"/a", "a"), (b"/a%2Fb", "a/b"), (b"/%C3%A9", "é"), (b"/%FF", "�"), (b"/a%0A", "a\n")]
)
def test_values_of_a_path_are_decoded(path, value):
    assert ROUTER.find("GET", STREAM + path)[1] == {"model": value}


@pytest.mark.parametrize("path", [b"", b"/", b"/Health", b"/health/", b"//health", STREAM + b"/a/b", STREAM + b"/"])
def test_other_paths_lead_nowhere(path):
    with pytest.raises(NotFoundError, match="correct the path"):
        ROUTER.find("GET", path)


def test_a_wrong_method_names_the_right_ones():
    with pytest.raises(MethodNotAllowedError) as caught:
        ROUTER.find("PUT", STREAM + b"/detectors")
    assert set(caught.value.allowed) == {"GET", "DELETE"}
