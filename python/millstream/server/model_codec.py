"""Between the files of models and detectors: what the store of models asks."""

from __future__ import annotations

import json

from millstream.detector import Detector


class DetectorCodec:
    """Model files hold detectors."""

    def decode(self, data: bytes, filename: str) -> Detector:
        """The detector in a file; `ModelFileError` naming `filename` if it holds none."""
        return Detector.from_bytes(data, filename)

    def memory_bytes(self, detector: Detector) -> int:
        """How much memory it takes besides its arrays, about: the texts its encoder knows, as Python holds them."""
        encoder = detector.encoder
        if encoder is None:
            return 0
        known = [*encoder.categories.values(), *encoder.shares.values()]
        return sum(_BYTES_OF_A_TEXT * len(texts) for texts in known)

    def encoder_text(self, detector: Detector) -> bytes | None:
        """Its encoder for people, if it has one."""
        encoder = detector.encoder
        if encoder is None:
            return None
        shown = {"schema": dict(encoder.schema), "features": encoder.features, **json.loads(encoder.to_json())}
        return json.dumps(shown, indent=1, ensure_ascii=False).encode() + b"\n"


_BYTES_OF_A_TEXT = 300  # text, entry in a list, entry and number in a dictionary
