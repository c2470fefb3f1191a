"""A model of the released family with a handful of channels, as a file of ours: what a renderer is exported into."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from torch import nn

from sadtalker_core.checkpoint.reading import Metadata
from sadtalker_core.checkpoint.writing import write_checkpoint
from sadtalker_core.coefficients import CROP_ROW
from sadtalker_core.datatypes import RELEASED
from sadtalker_core.face.recon import FaceReconConfig, FaceReconNet
from sadtalker_core.motion.audio_encoder import AudioEncoderConfig
from sadtalker_core.motion.expnet import ExpNet, ExpNetConfig
from sadtalker_core.motion.posevae import PoseVAE, PoseVAEConfig
from sadtalker_core.render.facevid2vid.dense_motion import DenseMotionConfig
from sadtalker_core.render.facevid2vid.generator import GeneratorConfig
from sadtalker_core.render.facevid2vid.keypoints import KeypointConfig
from sadtalker_core.render.facevid2vid.motion_estimator import MotionEstimatorConfig
from sadtalker_core.render.mapping import MappingConfig, MappingNet
from sadtalker_core.training.discriminators import DiscriminatorConfig
from sadtalker_core.training.engine import seeded
from sadtalker_core.training.mapping import MappingTraining
from sadtalker_core.training.perceptual import VggConfig
from sadtalker_core.training.renderer import RendererTraining, new_nets
from tests.training.toy_clips import SIDE

N_KEYPOINTS = 5
VGG = VggConfig(widths=(8, 8, 16, 16, 16), scales=(1,))
#: the published training for one clip of 32 pixels: few channels, a fast rate, and no images but those of the clip
RENDERER = RendererTraining(
    keypoints=KeypointConfig(n_keypoints=N_KEYPOINTS, width=4, widest=16, levels=2, depth=4),
    motion=MotionEstimatorConfig(stem=8, width=16, blocks=(1, 1), offsets=3 * N_KEYPOINTS),
    generator=GeneratorConfig(
        width=8,
        volume_blocks=1,
        middle_blocks=1,
        modulation=8,
        motion=DenseMotionConfig(
            n_keypoints=N_KEYPOINTS,
            depth=4,
            features=4,
            compact=2,
            width=4,
            widest=16,
            levels=2,
        ),
    ),
    discriminator=DiscriminatorConfig(width=4, widest=32, blocks=3),
    vgg=VGG,
    rate=1.5e-3,
    jitter=0.0,
    mirrored=0.0,
)
MAPPING = MappingTraining(hidden=64, vgg=VGG, rate=3e-3)


def nets() -> dict[str, nn.Module]:
    with seeded(1):
        audio = AudioEncoderConfig(width=2)
        renderer = new_nets(RENDERER, 1)
        return {
            "face_recon": FaceReconNet(FaceReconConfig(stem=4, blocks=(1,), widths=(4,), expansion=2)),
            "expnet": ExpNet(ExpNetConfig(audio)),
            "posevae": PoseVAE(PoseVAEConfig(audio=audio, unet_widths=(2, 4, 4, 4))),
            "mapping": MappingNet(MappingConfig(hidden=8, offsets=3 * N_KEYPOINTS)),
            "mapping_full": MappingNet(MappingConfig(CROP_ROW, hidden=8, offsets=3 * N_KEYPOINTS)),
            "keypoint_detector": renderer["keypoint_detector"],
            "generator": renderer["generator"],
        }


def write(path: Path) -> Path:
    made = nets()
    metadata = Metadata(RELEASED, "narrow", SIDE, {name: asdict(net.config) for name, net in made.items()})
    return write_checkpoint(path, {name: net.state_dict() for name, net in made.items()}, metadata)
