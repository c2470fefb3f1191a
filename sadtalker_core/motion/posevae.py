"""PoseVAE: a voice, a style and a random draw come in; how the head moves over 32 video frames goes out.

Letters: `B` blocks, `L` = 32 frames of a block, `Z` = 64 numbers of the latent, `E` the audio embedding.
A pose is six numbers (rotation, translation); the network's motion is its difference to the pose of the portrait, or
its change from frame to frame.
(SadTalker, section 3.2: a conditional variational autoencoder. The encoder half serves training alone.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..coefficients import POSE
from .audio_encoder import RELEASED_AUDIO_ENCODER, AudioEncoder, AudioEncoderConfig
from .course import CHANGE, WAVE_NUMBERS

#: the U-net halves the frames three times
_HALVINGS = 3
#: directions in which a voice can steer a head at a time
_DIRECTIONS = 8


@dataclass(frozen=True)
class PoseVAEConfig:
    """Widths, and one slip of the released encoder.

    audio:             the width of the audio encoder
    frames:            L, video frames of a block; a multiple of 8
    latent:            Z
    styles:            how many pose styles training distinguished
    audio_dim:         numbers of the voice per frame that reach the perceptrons
    encoder_hidden:    width of the encoder's hidden layer
    decoder_hidden:    width of the decoder's hidden layer
    unet_widths:       channels of the U-net on its four levels
    logvar_from_means: the released encoder takes its log-variance from the layer of the means. Harmless when driving,
                       which uses the decoder alone; new trainings use the layer that was made for it.
    changes:           the motion is the change from frame to frame, of which course.py makes one course over the clip;
                       a style then scales each of the six numbers, too. The released network's motion is the
                       difference to the pose of the portrait.
    """

    audio: AudioEncoderConfig = RELEASED_AUDIO_ENCODER
    frames: int = 32
    latent: int = 64
    styles: int = 46
    audio_dim: int = 6
    encoder_hidden: int = 128
    decoder_hidden: int = 128
    unet_widths: tuple[int, int, int, int] = (32, 64, 128, 256)
    logvar_from_means: bool = False
    changes: bool = False

    def __post_init__(self) -> None:
        if self.frames % 2**_HALVINGS:
            raise ValueError(f"expected frames to be a multiple of {2**_HALVINGS}, got {self.frames}")
        if self.changes and self.latent < WAVE_NUMBERS:
            raise ValueError(f"expected a latent of at least {WAVE_NUMBERS} numbers for changes, got {self.latent}")
        object.__setattr__(self, "unet_widths", tuple(self.unet_widths))


RELEASED_POSEVAE = PoseVAEConfig(logvar_from_means=True)


class PoseVAEOutput(NamedTuple):
    """motion (B, L, 6) reconstructed; mean and logvar (B, Z) of the latent."""

    motion: Tensor
    mean: Tensor
    logvar: Tensor


class PoseVAE(nn.Module):
    """See `decode` for driving and `forward` for training."""

    def __init__(self, config: PoseVAEConfig = RELEASED_POSEVAE, ops: Any = nn):
        super().__init__()
        self.config = config
        self.audio = AudioEncoder(config.audio, ops)
        self.encoder = PoseEncoder(config, ops)
        self.decoder = PoseDecoder(config, ops)

    def forward(
        self, motion: Tensor, windows: Tensor, reference: Tensor, style: Tensor, noise: Tensor
    ) -> PoseVAEOutput:
        """Reconstruct a recorded motion.

        motion (B, L, 6) relative to reference (B, 6); windows (B, L, 1, 80, 16); style (B,) long; noise (B, Z)
        from N(0, 1).
        """
        audio = self.embed(windows)
        mean, logvar = self.encoder(motion, audio, reference, style)
        latent = mean + torch.exp(0.5 * logvar) * noise
        return PoseVAEOutput(self.decoder(latent, audio, reference, style), mean, logvar)

    def embed(self, windows: Tensor) -> Tensor:
        """windows (B, L, 1, 80, 16) -> (B, L, E)."""
        return self.audio(windows.flatten(0, 1)).unflatten(0, windows.shape[:2])

    def decode(self, latent: Tensor, audio: Tensor, reference: Tensor, style: Tensor) -> Tensor:
        """latent (B, Z), audio (B, L, E) from `embed`, reference (B, 6), style (B,) long -> motion (B, L, 6)."""
        return self.decoder(latent, audio, reference, style)


class PoseEncoder(nn.Module):
    """A recorded motion -> mean and log-variance (B, Z) of the latent it may have come from."""

    def __init__(self, config: PoseVAEConfig, ops: Any):
        super().__init__()
        self.logvar_from_means, self.changes = config.logvar_from_means, config.changes
        per_block = config.frames * (POSE + config.audio_dim)
        self.unet = PoseUnet(config.unet_widths, ops)
        self.audio = ops.Linear(config.audio.embedding, config.audio_dim)
        self.style_bias = nn.Parameter(torch.empty(config.styles, config.latent))
        # A file fills a meta tensor, and drawing into one makes torch import half of itself.
        if not self.style_bias.is_meta:
            nn.init.normal_(self.style_bias)
        self.hidden = ops.Linear(POSE + per_block + config.latent, config.encoder_hidden)
        self.mean = ops.Linear(config.encoder_hidden, config.latent)
        self.logvar = ops.Linear(config.encoder_hidden, config.latent)

    def forward(self, motion: Tensor, audio: Tensor, reference: Tensor, style: Tensor) -> tuple[Tensor, Tensor]:
        seen = self.unet(motion / motion.new_tensor(CHANGE) if self.changes else motion).flatten(1)
        audio_embedding = self.audio(audio).flatten(1)
        bias = self.style_bias[style].to(audio_embedding)
        hidden = torch.relu(self.hidden(torch.cat([reference, seen, audio_embedding, bias], dim=1)))
        mean = self.mean(hidden)
        return mean, mean if self.logvar_from_means else self.logvar(hidden)


class PoseDecoder(nn.Module):
    """A latent and a voice -> motion (B, L, 6). The perceptron and the U-net both end in a sigmoid (PARITY.md P16)."""

    def __init__(self, config: PoseVAEConfig, ops: Any):
        super().__init__()
        self.frames = config.frames
        self.audio = ops.Linear(config.audio.embedding, config.audio_dim)
        self.style_bias = nn.Parameter(torch.empty(config.styles, config.latent))
        # A file fills a meta tensor, and drawing into one makes torch import half of itself.
        if not self.style_bias.is_meta:
            nn.init.normal_(self.style_bias)
        self.hidden = ops.Linear(POSE + config.latent + config.frames * config.audio_dim, config.decoder_hidden)
        self.sketch = ops.Linear(config.decoder_hidden, config.frames * POSE)
        self.unet = PoseUnet(config.unet_widths, ops)
        self.pose = ops.Linear(POSE, POSE)
        self.steering = AudioSteering(config, ops) if config.changes else None

    def forward(self, latent: Tensor, audio: Tensor, reference: Tensor, style: Tensor) -> Tensor:
        audio_embedding = self.audio(audio).flatten(1)
        latent = latent + self.style_bias[style].to(latent)
        hidden = torch.relu(self.hidden(torch.cat([reference, latent, audio_embedding], dim=1)))
        sketch = torch.sigmoid(self.sketch(hidden)).unflatten(1, (self.frames, POSE))
        motion = self.pose(self.unet(sketch))
        return motion if self.steering is None else self.steering(motion, latent, audio_embedding, style)


class AudioSteering(nn.Module):
    """The voice in a frame times what was drawn: a stressed syllable nods the head, a phrase turns it to a side.

    A few directions come out of the latent, the voice gives how far to go along each of them, and the style scales all.
    """

    def __init__(self, config: PoseVAEConfig, ops: Any):
        super().__init__()
        self.frames = config.frames
        self.hidden = ops.Linear(config.frames * config.audio_dim, config.encoder_hidden)
        self.how_far = ops.Linear(config.encoder_hidden, config.frames * _DIRECTIONS)
        self.directions = ops.Linear(config.latent, _DIRECTIONS * POSE)
        self.style_gain = nn.Parameter(torch.ones(config.styles, POSE))

    def forward(self, motion: Tensor, latent: Tensor, audio_embedding: Tensor, style: Tensor) -> Tensor:
        """motion (B, L, 6), latent (B, Z), audio_embedding (B, L * audio_dim) -> motion (B, L, 6)."""
        how_far = self.how_far(torch.relu(self.hidden(audio_embedding))).unflatten(1, (self.frames, _DIRECTIONS))
        directions = self.directions(latent).unflatten(1, (_DIRECTIONS, POSE))
        return (motion + how_far @ directions) * self.style_gain[style].to(motion)[:, None]


class PoseUnet(nn.Module):
    """(B, L, 6) -> (B, L, 6) in 0..1: a residual U-net that sees the block as a one-channel image of L x 6 pixels."""

    def __init__(self, widths: tuple[int, int, int, int], ops: Any):
        super().__init__()
        w0, w1, w2, w3 = widths
        self.first_conv1 = ops.Conv2d(1, w0, 3, padding=1)
        self.first_norm = nn.BatchNorm2d(w0)
        self.first_conv2 = ops.Conv2d(w0, w0, 3, padding=1)
        self.first_skip = ops.Conv2d(1, w0, 3, padding=1)
        self.down1 = PreActResidual(w0, w1, (2, 1), ops)
        self.down2 = PreActResidual(w1, w2, (2, 1), ops)
        self.down3 = PreActResidual(w2, w3, (2, 1), ops)
        self.stretch1 = ops.ConvTranspose2d(w3, w3, (2, 1), (2, 1))
        self.up1 = PreActResidual(w3 + w2, w2, 1, ops)
        self.stretch2 = ops.ConvTranspose2d(w2, w2, (2, 1), (2, 1))
        self.up2 = PreActResidual(w2 + w1, w1, 1, ops)
        self.stretch3 = ops.ConvTranspose2d(w1, w1, (2, 1), (2, 1))
        self.up3 = PreActResidual(w1 + w0, w0, 1, ops)
        self.last = ops.Conv2d(w0, 1, 1)

    def forward(self, block: Tensor) -> Tensor:
        x = block.unsqueeze(1)
        level0 = self.first_conv2(torch.relu(self.first_norm(self.first_conv1(x)))) + self.first_skip(x)
        level1 = self.down1(level0)
        level2 = self.down2(level1)
        y = self.down3(level2)
        y = self.up1(torch.cat([self.stretch1(y), level2], dim=1))
        y = self.up2(torch.cat([self.stretch2(y), level1], dim=1))
        y = self.up3(torch.cat([self.stretch3(y), level0], dim=1))
        return torch.sigmoid(self.last(y)).squeeze(1)


class PreActResidual(nn.Module):
    """norm, ReLU, convolution, twice; plus a convolution around it."""

    def __init__(self, n_in: int, n_out: int, stride: int | tuple[int, int], ops: Any):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(n_in)
        self.conv1 = ops.Conv2d(n_in, n_out, 3, stride, padding=1)
        self.norm2 = nn.BatchNorm2d(n_out)
        self.conv2 = ops.Conv2d(n_out, n_out, 3, padding=1)
        self.skip_conv = ops.Conv2d(n_in, n_out, 3, stride, padding=1)
        self.skip_norm = nn.BatchNorm2d(n_out)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(torch.relu(self.norm1(x)))
        y = self.conv2(torch.relu(self.norm2(y)))
        return y + self.skip_norm(self.skip_conv(x))
