"""The command line: `millstream serve`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from millstream.errors import MillstreamError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code: 0, 1 after an error; a usage error exits with 2."""
    asked = _parser().parse_args(arguments)
    try:
        return _serve(asked)
    except MillstreamError as error:
        print(f"millstream: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="millstream", description="Streams of numbers into features and alarms.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    serve = commands.add_parser("serve", help="run the service", description="Run the service until SIGTERM.")
    serve.add_argument("--host", help="address to listen on (default 127.0.0.1)")
    serve.add_argument("--port", type=int, help="port to listen on (default 14345; 0 takes a free one)")
    serve.add_argument("--data-dir", help="folder of the models (default $LF_DATA_DIR, then ~/.llamafarm)")
    return parser


def _serve(asked: argparse.Namespace) -> int:
    from millstream.server.serve import serve
    from millstream.settings import from_environment

    return serve(from_environment(os.environ, host=asked.host, port=asked.port, data_dir=asked.data_dir))
