"""A Wav2Lip checkpoint comes in, its audio encoder goes out: it has learnt which sound goes with which lips.

The file is the user's own (Wav2Lip, Prajwal et al. 2020: `wav2lip.pth` or `wav2lip_gan.pth`); its layout is that of our
AudioEncoder at width 32, under other names.
"""

from __future__ import annotations

import re
from pathlib import Path

from ..checkpoint.reading import read_foreign
from ..errors import CheckpointMismatch
from ..model import load_weights
from ..motion.audio_encoder import RELEASED_AUDIO_ENCODER, AudioEncoder

#: "module." is what a training on several GPUs leaves before every name
_KEY = re.compile(r"(?:module\.)?audio_encoder\.(\d+)\.conv_block\.([01])\.(.+)")
_PARTS = {"0": "conv", "1": "norm"}


def read_wav2lip_audio_encoder(file: Path) -> AudioEncoder:
    """In eval mode, without gradients. Raises CheckpointMissing, CheckpointDamaged or CheckpointMismatch."""
    source = f"{file.name} in {file.parent}"
    tensors = {}
    for key, tensor in read_foreign(file).items():
        match = _KEY.fullmatch(key)
        if match:
            layer, part, rest = match.groups()
            tensors[f"layers.{layer}.{_PARTS[part]}.{rest}"] = tensor
    if not tensors:
        raise CheckpointMismatch(
            f"{source} is no Wav2Lip checkpoint: it holds no audio_encoder. Give wav2lip.pth or wav2lip_gan.pth."
        )
    net = AudioEncoder(RELEASED_AUDIO_ENCODER)
    return load_weights(net, tensors, source, " It should be wav2lip.pth or wav2lip_gan.pth.")  # type: ignore[return-value]


__all__ = ["read_wav2lip_audio_encoder"]
