"""The address of one server for the examples."""

import pytest

from tests.contract.server_process import ServerProcess


@pytest.fixture(scope="session")
def url(tmp_path_factory):
    made = ServerProcess(tmp_path_factory.mktemp("data"))
    yield f"http://127.0.0.1:{made.port}"
    assert made.stop() == 0, "".join(made.log)
