"""A documented rule comes in, the weights of the released networks go out: no download, and the same numbers
everywhere.

The vectors were made by running the original networks with weights drawn by this rule (version 1). For a tensor with
the canonical key `k` (see `released_keys.txt`), n is drawn in float32 from the standard normal distribution by
`Generator(PCG64(crc32(k) + seed))`; what becomes of n depends on the kind of the tensor:

    batch norm    weight 1 + 0.05 n (times a scale, BATCH_NORM_SCALES); bias and running_mean 0.05 n;
                  running_var 1 + 0.1 |n|; num_batches_tracked 0 (int64)
    spectral norm weight_u = n / |n|;  weight_v = W' u / |W' u|, W = weight_orig as (out, the rest); in float64
    classbias     n
    anti-alias    kp_extractor.down.weight is the Gaussian itself: 13 x 13, sigma 1.5, sum 1
    weights       (2 axes or more) gain sqrt(2 / fan_in) n; fan_in is the product of all axes but the first, or the
                  first axis of a transposed convolution
    other biases  0.02 n

Input channels 71 and 72 of mapping_00109.first (a crop centre in pixels) are then weakened to a hundredth.
"""

from __future__ import annotations

import functools
import math
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

KEY_LIST = Path(__file__).resolve().parent / "released_keys.txt"

#: pattern that is searched in the key -> gain; the first that is found counts
GAINS = (
    (r"audio_encoder\.(1|2|4|5|7|8|10)\.conv_block\.0\.weight$", 0.5),
    (r"^audio2exp\.mapping1\.weight$", 0.15),
    (r"resunet\.(residual_conv_1|residual_conv_2|bridge|up_residual_conv\d)\..*weight$", 0.7),
    (r"resunet\.output_layer\.0\.weight$", 0.6),
    (r"netG\.decoder\.MLP\.L1\.weight$", 0.6),
    (r"netG\.decoder\.linear_audio\.weight$", 0.3),
    (r"pose_linear\.weight$", 0.25),
    (r"^face_3drecon\.final_layers\.[356]\.weight$", 0.2),
    (r"^face_3drecon\.final_layers\.\d\.weight$", 0.25),
    (r"^kp_extractor\.predictor\.down_blocks\.", 1.3),
    (r"^kp_extractor\.kp\.weight$", 0.4),
    (r"^mapping_\d+\.encoder\d\.1\.weight$", 0.5),
    (r"^mapping_\d+\.fc_(yaw|pitch|roll)\.weight$", 2.0),
    (r"^mapping_\d+\.fc_(t|exp)\.weight$", 0.1),
    (r"^generator\.resblocks_3d\..*conv2\.weight$", 0.5),
    (r"^generator\.down_blocks\.", 1.2),
    (r"^generator\.dense_motion_network\.mask\.weight$", 1.5),
    (r"^generator\.dense_motion_network\.hourglass\.encoder\.", 1.2),
    (r"mlp_(gamma|beta)\.weight$", 0.5),
    (r"^generator\.decoder\.conv_img\.weight$", 0.7),
)
BATCH_NORM_SCALES = (
    (r"^face_3drecon\.backbone\.layer\d\.\d+\.bn3\.weight$", 0.3),
    (r"^he_estimator\..*norm3\.weight$", 0.3),
)
ANTI_ALIAS = "kp_extractor.down.weight"
ANTI_ALIAS_SIGMA = 1.5


@functools.cache
def released_keys() -> dict[str, tuple[int, ...]]:
    """Canonical key -> shape of every tensor that was released, in the order of the released files."""
    lines = (line.split() for line in KEY_LIST.read_text("ascii").splitlines() if not line.startswith("#"))
    return {key: tuple(int(n) for n in shape) for key, *shape in lines}


def tensor(key: str, seed: int) -> np.ndarray:
    """The tensor that the rule gives a canonical key."""
    shape = released_keys()[key]
    stem, _, leaf = key.rpartition(".")
    if leaf == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    if key == ANTI_ALIAS:
        return _gaussian(shape)
    if leaf == "weight_u":
        return _unit(_draw(key, seed).astype(np.float64)).astype(np.float32)
    if leaf == "weight_v":
        return _right_vector(tensor(f"{stem}.weight_orig", seed), tensor(f"{stem}.weight_u", seed))
    if f"{stem}.running_mean" in released_keys():
        return _batch_norm(key, leaf, seed)
    if leaf == "classbias":
        return _draw(key, seed)
    if len(shape) == 1:
        return _draw(key, seed) * np.float32(0.02)
    weight = _draw(key, seed) * np.float32(_weight_scale(key, shape))
    if key == "mapping_00109.first.0.weight":
        weight[:, 71:73] *= np.float32(0.01)
    return weight


def tensors(prefix: str | tuple[str, ...], seed: int) -> Iterator[tuple[str, np.ndarray]]:
    """(canonical key, tensor) for every key that begins with `prefix` (or one of them), one at a time."""
    for key in released_keys():
        if key.startswith(prefix):
            yield key, tensor(key, seed)


def our_tensors(net: str, seed: int) -> dict:
    """The tensors of one of our networks under its own names, the network's prefix taken off."""
    import torch

    from sadtalker_core.checkpoint.keys import homes

    known = ((key, home) for key in released_keys() for home in homes(key) if home is not None)
    own = ((key, home[len(net) + 1 :]) for key, home in known if home.startswith(f"{net}."))
    return {name: torch.from_numpy(tensor(key, seed)) for key, name in own}


def _draw(key: str, seed: int) -> np.ndarray:
    rng = np.random.Generator(np.random.PCG64(zlib.crc32(key.encode()) + int(seed)))
    return rng.standard_normal(released_keys()[key], dtype=np.float32)


def _weight_scale(key: str, shape: tuple[int, ...]) -> float:
    transposed = re.search(r"upsample_\d\.upsample\.weight$", key)
    fan_in = shape[0] if transposed else math.prod(shape[1:])
    return _first_match(GAINS, key.replace("weight_orig", "weight")) * math.sqrt(2.0 / fan_in)


def _batch_norm(key: str, leaf: str, seed: int) -> np.ndarray:
    n = _draw(key, seed)
    if leaf == "weight":
        return (np.float32(1) + np.float32(0.05) * n) * np.float32(_first_match(BATCH_NORM_SCALES, key))
    if leaf == "running_var":
        return np.float32(1) + np.float32(0.10) * np.abs(n)
    return np.float32(0.05) * n


def _right_vector(weight: np.ndarray, u: np.ndarray) -> np.ndarray:
    """As a converged power iteration leaves it. Rows are added one after the other, so that every machine agrees."""
    total = np.zeros(weight[0].size, np.float64)
    for row, share in zip(weight.reshape(len(weight), -1), u, strict=True):
        total += row.astype(np.float64) * np.float64(share)
    return _unit(total).astype(np.float32)


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / math.sqrt(math.fsum((vector * vector).tolist()))


def _gaussian(shape: tuple[int, ...]) -> np.ndarray:
    side = shape[-1]
    bell = np.exp(-((np.arange(side, dtype=np.float64) - (side - 1) / 2) ** 2) / (2 * ANTI_ALIAS_SIGMA**2))
    kernel = bell[:, None] * bell[None, :]
    kernel /= kernel.sum()
    return np.broadcast_to(kernel.astype(np.float32), shape).copy()


def _first_match(table: tuple[tuple[str, float], ...], key: str) -> float:
    return next((value for pattern, value in table if re.search(pattern, key)), 1.0)
