import pytest
import torch

from sadtalker_core.datatypes import MINI, RELEASED, CropMode, FaceCoefficients, SpeechWindows
from sadtalker_core.motion.audio_encoder import AudioEncoderConfig
from sadtalker_core.motion.course import WAVE_NUMBERS
from sadtalker_core.motion.expnet import ExpNet, ExpNetConfig
from sadtalker_core.motion.posevae import PoseVAE, PoseVAEConfig
from sadtalker_core.motion.temporal import TemporalConfig
from sadtalker_core.timeline import mel_steps_in_samples, samples_in_frames


@pytest.fixture
def make_speech():
    """n_frames -> SpeechWindows that sound like nothing at all."""

    def make(n_frames, seed=0):
        n_mel = mel_steps_in_samples(samples_in_frames(n_frames))
        return SpeechWindows(torch.randn(n_mel, 80, generator=torch.Generator().manual_seed(seed)), n_frames)

    return make


@pytest.fixture
def make_face():
    """n_rows -> FaceCoefficients whose numbers all differ."""

    def make(n_rows=1, seed=1, family=RELEASED, found=None):
        rows = torch.randn(n_rows, 73, generator=torch.Generator().manual_seed(seed))
        return FaceCoefficients.from_crop_rows(rows, family=family, crop_mode=CropMode.CROP, pic_size=256, found=found)

    return make


@pytest.fixture
def make_mini_face(make_face):
    return lambda n_rows=1, seed=1: make_face(n_rows, seed, MINI)


def _lively(net):
    """Running statistics as after some training, so that nothing is zero or one by chance."""
    for module in net.modules():
        if isinstance(module, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    return net.eval()


@pytest.fixture
def lively():
    """net -> the same, as after some training."""
    return _lively


@pytest.fixture
def small_expnet():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return _lively(ExpNet(ExpNetConfig(AudioEncoderConfig(width=2))))


@pytest.fixture
def double_expnet():
    """One that has a second network, of the mel track."""
    config = ExpNetConfig(AudioEncoderConfig(width=2), temporal=TemporalConfig(width=5, blocks=3))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return _lively(ExpNet(config))


@pytest.fixture
def small_posevae():
    config = PoseVAEConfig(audio=AudioEncoderConfig(width=2), latent=8, styles=5, unet_widths=(2, 3, 4, 5))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return _lively(PoseVAE(config))


@pytest.fixture
def changing_posevae():
    """One that speaks of changes from frame to frame."""
    config = PoseVAEConfig(
        audio=AudioEncoderConfig(width=2), latent=WAVE_NUMBERS + 2, styles=5, unet_widths=(2, 3, 4, 5), changes=True
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return _lively(PoseVAE(config))
