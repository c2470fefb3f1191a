"""A finished mp4 or mov and a person's certificate come in; the same video goes out with a C2PA manifest, signed, that
marks it as made by AI. Programs that know C2PA ("Content Credentials") show who signed it, and notice every
change.

Needs the package c2pa-python, which nothing else here does.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import OptionError, SigningError

#: IPTC's code for what an AI model made, and the claim that this pack makes of every file
AI_MADE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
CLAIM: dict[str, Any] = {
    "claim_generator_info": [{"name": "SadTalker Nodes"}],
    "assertions": [
        {"label": "c2pa.actions", "data": {"actions": [{"action": "c2pa.created", "digitalSourceType": AI_MADE}]}}
    ],
}
ALGORITHMS = ("es256", "es384", "es512", "ps256", "ps384", "ps512", "ed25519")


@dataclass(frozen=True)
class Signature:
    """Who signs a video (C2PA).

    certificates: a PEM file, the signer's certificate first, then its issuers
    private_key:  a PEM file (PKCS#8) with the key of the first certificate
    algorithm:    one of ALGORITHMS; it must fit the key
    time_stamp_url: a time stamp authority (RFC 3161) to ask over the internet; empty asks nobody
    """

    certificates: Path
    private_key: Path
    algorithm: str = ALGORITHMS[0]
    time_stamp_url: str = ""

    def __post_init__(self) -> None:
        if self.algorithm not in ALGORITHMS:
            raise OptionError(f"expected a signing algorithm out of {', '.join(ALGORITHMS)}, got {self.algorithm}.")
        for what, file in (("certificates", self.certificates), ("private key", self.private_key)):
            if not file.is_file():
                raise SigningError(f"the video is to be signed, but there is no file with the {what} at {file}.")

    def require_usable(self) -> None:
        """Signs an image of one pixel. Raises SigningError if package, certificates or key cannot be used."""
        from PIL import Image

        pixel = io.BytesIO()
        Image.new("RGB", (1, 1)).save(pixel, "PNG")
        self._sign("image/png", pixel, io.BytesIO())

    def sign(self, video: Path, signed: Path, kind: str = "video/mp4") -> None:
        """Writes `video` to `signed`, with the manifest inside.  kind: its MIME type. Raises SigningError."""
        with video.open("rb") as plain, signed.open("w+b") as out:
            self._sign(kind, plain, out)

    def _sign(self, kind: str, plain: BinaryIO, out: BinaryIO) -> None:
        c2pa = _c2pa()
        certificates, private_key = (file.read_bytes() for file in (self.certificates, self.private_key))
        time_stamp_url = self.time_stamp_url.encode() or None
        whose = c2pa.C2paSignerInfo(self.algorithm.encode(), certificates, private_key, time_stamp_url)
        try:
            with c2pa.Signer.from_info(whose) as signer, c2pa.Builder(CLAIM) as builder:
                builder.sign(signer, kind, plain, out)
        except c2pa.C2paError as error:
            raise SigningError(
                f"the video cannot be signed with {self.certificates} ({self.algorithm}): {error}. The first "
                "certificate must belong to the key and allow signing; its issuers must follow."
            ) from error


def _c2pa() -> Any:
    try:
        import c2pa
    except ImportError as error:
        raise SigningError(
            "signing videos needs the package c2pa-python: install it into ComfyUI's Python (pip install "
            "c2pa-python), or remove the signing settings."
        ) from error
    return c2pa


__all__ = ["AI_MADE", "ALGORITHMS", "Signature"]
