"""One server for the session; each test uses names of its own."""

import pytest

from tests.contract.server_process import ServerProcess


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    made = ServerProcess(tmp_path_factory.mktemp("data"))
    yield made
    assert made.stop() == 0, "".join(made.log)
