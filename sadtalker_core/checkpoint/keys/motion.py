"""Where each tensor of the released ExpNet (`audio2exp.`) and PoseVAE (`audio2pose.`) lives in our networks.

A rule is (pattern of the whole released key, our name as in `re.sub`, or None for a tensor that is dropped on purpose).
Exactly one rule fits each released key; a test goes through the list of them.
"""

from __future__ import annotations

_HALF = r"audio2pose\.netG\.(encoder|decoder)"
_UNET = _HALF + r"\.resunet"
_END = r"\.(.+)"

RULES: tuple[tuple[str, str | None], ...] = (
    # the two audio encoders
    (r"audio2exp\.audio_encoder\.(\d+)\.conv_block\.0" + _END, r"expnet.audio.layers.\1.conv.\2"),
    (r"audio2exp\.audio_encoder\.(\d+)\.conv_block\.1" + _END, r"expnet.audio.layers.\1.norm.\2"),
    (r"audio2pose\.audio_encoder\.audio_encoder\.(\d+)\.conv_block\.0" + _END, r"posevae.audio.layers.\1.conv.\2"),
    (r"audio2pose\.audio_encoder\.audio_encoder\.(\d+)\.conv_block\.1" + _END, r"posevae.audio.layers.\1.norm.\2"),
    # ExpNet
    (r"audio2exp\.mapping1" + _END, r"expnet.head.\1"),
    # PoseVAE, both halves
    (_HALF + r"\.classbias", r"posevae.\1.style_bias"),
    (_HALF + r"\.linear_audio" + _END, r"posevae.\1.audio.\2"),
    (_HALF + r"\.MLP\.L0" + _END, r"posevae.\1.hidden.\2"),
    (_HALF + r"\.MLP\.L1" + _END, r"posevae.\1.sketch.\2"),
    (_HALF + r"\.linear_means" + _END, r"posevae.\1.mean.\2"),
    (_HALF + r"\.linear_logvar" + _END, r"posevae.\1.logvar.\2"),
    (_HALF + r"\.pose_linear" + _END, r"posevae.\1.pose.\2"),
    # their U-nets
    (_UNET + r"\.input_layer\.0" + _END, r"posevae.\1.unet.first_conv1.\2"),
    (_UNET + r"\.input_layer\.1" + _END, r"posevae.\1.unet.first_norm.\2"),
    (_UNET + r"\.input_layer\.3" + _END, r"posevae.\1.unet.first_conv2.\2"),
    (_UNET + r"\.input_skip\.0" + _END, r"posevae.\1.unet.first_skip.\2"),
    *(
        (_UNET + rf"\.{theirs}\.{their_layer}" + _END, rf"posevae.\1.unet.{ours}.{our_layer}.\2")
        for theirs, ours in (
            ("residual_conv_1", "down1"),
            ("residual_conv_2", "down2"),
            ("bridge", "down3"),
            ("up_residual_conv1", "up1"),
            ("up_residual_conv2", "up2"),
            ("up_residual_conv3", "up3"),
        )
        for their_layer, our_layer in (
            (r"conv_block\.0", "norm1"),
            (r"conv_block\.2", "conv1"),
            (r"conv_block\.3", "norm2"),
            (r"conv_block\.5", "conv2"),
            (r"conv_skip\.0", "skip_conv"),
            (r"conv_skip\.1", "skip_norm"),
        )
    ),
    (_UNET + r"\.upsample_(\d)\.upsample" + _END, r"posevae.\1.unet.stretch\2.\3"),
    (_UNET + r"\.output_layer\.0" + _END, r"posevae.\1.unet.last.\2"),
    # the discriminator served training alone
    (r"audio2pose\.netD_motion" + _END, None),
)
