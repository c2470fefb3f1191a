"""The released classes with a handful of channels: everything they do in milliseconds."""

from __future__ import annotations

import torch

from sadtalker_core.datatypes import (
    RELEASED,
    BlendshapeMotion,
    Box,
    CropMode,
    Expression,
    FaceCoefficients,
    FaceCrop,
    HeadPose,
    KeypointMotion,
    Motion,
)
from sadtalker_core.render.facevid2vid.dense_motion import DenseMotionConfig
from sadtalker_core.render.facevid2vid.generator import Generator, GeneratorConfig
from sadtalker_core.render.facevid2vid.keypoints import KeypointConfig, KeypointDetector
from sadtalker_core.render.mapping import MappingConfig, MappingNet

N_KEYPOINTS = 3
SIDE = 32
KEYPOINTS = KeypointConfig(n_keypoints=N_KEYPOINTS, width=4, widest=8, levels=2, depth=4)
MOTION = DenseMotionConfig(n_keypoints=N_KEYPOINTS, depth=4, features=4, compact=2, width=4, widest=8, levels=2)
GENERATOR = GeneratorConfig(width=4, volume_blocks=1, middle_blocks=1, modulation=4, motion=MOTION)
#: the feature volume of an image of SIDE
VOLUME = (4, SIDE // 4, SIDE // 4)


def keypoint_detector(seed: int = 0) -> KeypointDetector:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return KeypointDetector(KEYPOINTS).eval()


def generator(seed: int = 0) -> Generator:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Generator(GENERATOR).eval()


def cramp(monkeypatch, net: Generator, room: int) -> list[int]:
    """From now on the network runs out of memory with more frames than `room`; the sizes that were tried come in
    here.
    """
    tried: list[int] = []
    warp_and_decode = net.warp_and_decode

    def cramped(source, keypoints):
        tried.append(len(keypoints))
        if len(keypoints) > room:
            raise torch.OutOfMemoryError("full")
        return warp_and_decode(source, keypoints)

    monkeypatch.setattr(net, "warp_and_decode", cramped)
    return tried


def mapping(coefficients: int = 70, offsets: int = 3 * N_KEYPOINTS, seed: int = 0) -> MappingNet:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return MappingNet(MappingConfig(coefficients, hidden=8, offsets=offsets)).eval()


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def uniform(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def coefficients(mode: CropMode = CropMode.CROP, family: str = RELEASED) -> FaceCoefficients:
    rows = normal(1, 257, seed=1)
    crop = torch.tensor([[1.2, 120.0, 140.0]])
    return FaceCoefficients.from_full_rows(rows, crop, family=family, crop_mode=mode, pic_size=256)


def expression(n_frames: int, family: str = RELEASED) -> Expression:
    return Expression(normal(n_frames, 64, seed=2), family)


def pose(n_frames: int, family: str = RELEASED) -> HeadPose:
    return HeadPose(normal(n_frames, 6, seed=3), family)


def keypoint_motion(n_frames: int, seed: int = 4) -> KeypointMotion:
    angles = 20 * normal(3, n_frames, seed=seed)
    return KeypointMotion(
        *angles, 0.1 * normal(n_frames, 3, seed=seed + 1), 0.1 * normal(n_frames, 3 * N_KEYPOINTS, seed=seed + 2)
    )


def motion(n_frames: int) -> Motion[KeypointMotion]:
    return Motion(keypoint_motion(n_frames), keypoint_motion(1, seed=9))


def blendshape_motion(n_frames: int) -> Motion[BlendshapeMotion]:
    def rows(n: int) -> BlendshapeMotion:
        return BlendshapeMotion(*torch.zeros(3, n), torch.zeros(n, 3), torch.zeros(n, 64))

    return Motion(rows(n_frames), rows(1))


def crop(side: int = SIDE) -> FaceCrop:
    return FaceCrop(uniform(3, side, side), torch.zeros(68, 2), Box(0, 0, side, side), CropMode.CROP)
