"""A server whose retrains a test can hold or have fail.

A fit of a stream with normalization `raw` waits for someone to open and close the pipe `$HELD_FITS`; with `zscore` it
fails. (A stream ignores its normalization, so the scores are what they are.)
"""

import os
import sys
from pathlib import Path

from millstream import cli, stream_state

fit_model = stream_state.fit_model


def fit(settings, *job):
    if settings.normalization == "zscore":
        raise ValueError("as asked")
    if settings.normalization == "raw":
        Path(os.environ["HELD_FITS"]).read_bytes()
    return fit_model(settings, *job)


if __name__ == "__main__":
    stream_state.fit_model = fit
    sys.exit(cli.main())
