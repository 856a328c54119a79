"""Settings from the environment."""

from pathlib import Path

import pytest
from millstream.errors import InvalidRequestError
from millstream.settings import Settings, from_environment, is_loopback


def test_without_variables_the_defaults_hold():
    settings = from_environment({})
    assert settings.host == "127.0.0.1"
    assert settings.port == 14345
    assert settings.data_dir == Path("~/.llamafarm").expanduser()
    assert settings.api_key is None
    assert settings.max_body_bytes == 64 * 1024 * 1024


def test_variables_set_fields_and_arguments_win():
    environ = {"LF_DATA_DIR": "/data", "MILLSTREAM_PORT": "1", "MILLSTREAM_HEADER_SECONDS": "2.5"}
    settings = from_environment(environ, port=2, host=None)
    assert (settings.data_dir, settings.port, settings.header_seconds) == (Path("/data"), 2, 2.5)
    assert settings.models_dir == Path("/data/models/anomaly")


def test_a_blank_variable_counts_as_none():
    assert from_environment({"MILLSTREAM_API_KEY": "  ", "MILLSTREAM_PORT": ""}).api_key is None


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MILLSTREAM_PORT", "x"),
        ("MILLSTREAM_PORT", "65536"),
        ("MILLSTREAM_PORT", "-1"),
        ("MILLSTREAM_MAX_BODY_BYTES", "1.5"),
        ("MILLSTREAM_HEADER_SECONDS", "nan"),
        ("MILLSTREAM_HEADER_SECONDS", "inf"),
        ("MILLSTREAM_FIT_WORKERS", "0"),
    ],
)
def test_a_bad_value_is_refused_with_what_is_allowed(variable, value):
    with pytest.raises(InvalidRequestError, match="allowed is"):
        from_environment({variable: value})


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.1", "example.org"])
def test_a_host_others_reach_needs_a_key(host):
    with pytest.raises(InvalidRequestError, match="MILLSTREAM_API_KEY"):
        from_environment({}, host=host)
    assert from_environment({"MILLSTREAM_API_KEY": "k"}, host=host).host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_needs_none(host):
    assert is_loopback(host)


def test_the_key_is_not_shown():
    assert "secret" not in repr(Settings(api_key="secret"))
