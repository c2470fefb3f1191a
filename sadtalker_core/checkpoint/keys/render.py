"""Where the tensors of the released renderer and mapping networks live in ours: (released key, our name)."""

from __future__ import annotations

_NORM = r"(weight|bias|running_mean|running_var|num_batches_tracked)"
_PLAIN = r"(weight|bias)"


def _mapping(released: str, ours: str) -> tuple[tuple[str, str | None], ...]:
    return (
        (rf"{released}\.first\.0\.{_PLAIN}", rf"{ours}.stem.\1"),
        (rf"{released}\.encoder(\d)\.1\.{_PLAIN}", rf"{ours}.blocks.\1.\2"),
        (rf"{released}\.fc_(yaw|pitch|roll)\.{_PLAIN}", rf"{ours}.\1.\2"),
        (rf"{released}\.fc_t\.{_PLAIN}", rf"{ours}.translation.\1"),
        (rf"{released}\.fc_exp\.{_PLAIN}", rf"{ours}.offsets.\1"),
    )


def _estimator() -> tuple[tuple[str, str | None], ...]:
    """The head-pose estimator of the old file, read for training alone; its yaw and roll go by each other's names."""
    theirs, ours = r"he_estimator", "motion_estimator"
    rules: list[tuple[str, str | None]] = [
        (rf"{theirs}\.conv1\.{_PLAIN}", rf"{ours}.stem.\1"),
        (rf"{theirs}\.norm1\.{_NORM}", rf"{ours}.stem_norm.\1"),
        *((rf"{theirs}\.fc_{a}\.{_PLAIN}", rf"{ours}.{b}.\1") for a, b in _ESTIMATOR_HEADS.items()),
    ]
    blocks: list[tuple[str, str]] = []
    for stage in range(4):
        rules += [
            (rf"{theirs}\.conv{stage + 2}\.{_PLAIN}", rf"{ours}.stages.{stage}.widen.\1"),
            (rf"{theirs}\.norm{stage + 2}\.{_NORM}", rf"{ours}.stages.{stage}.widen_norm.\1"),
        ]
        row, halving = 2 * stage + 1, 1 if stage else 0
        if halving:
            blocks.append((rf"{theirs}\.block{row - 1}", rf"{ours}.stages.{stage}.blocks.0"))
        blocks += [
            (rf"{theirs}\.block{row}\.b{row}_{i}", rf"{ours}.stages.{stage}.blocks.{halving + i}") for i in range(5)
        ]
    for their_block, our_block in blocks:
        for number, layer in enumerate(("squeeze", "spatial", "widen"), 1):
            rules += [
                (rf"{their_block}\.conv{number}\.{_PLAIN}", rf"{our_block}.{layer}.\1"),
                (rf"{their_block}\.norm{number}\.{_NORM}", rf"{our_block}.{layer}_norm.\1"),
            ]
        rules += [
            (rf"{their_block}\.skip\.{_PLAIN}", rf"{our_block}.skip.\1"),
            (rf"{their_block}\.norm4\.{_NORM}", rf"{our_block}.skip_norm.\1"),
        ]
    return tuple(rules)


def _spade_blocks(released: str, ours: str) -> tuple[tuple[str, str | None], ...]:
    r"""`released` is a pattern with the block's number as its first group; `ours` has it as \1."""
    rules: list[tuple[str, str | None]] = []
    for theirs, mine in (("0", "first"), ("1", "second"), ("s", "skip")):
        rules += [
            (rf"{released}\.conv_{theirs}\.weight_orig", rf"{ours}.{mine}_conv.weight"),
            (rf"{released}\.conv_{theirs}\.weight_u", rf"{ours}.{mine}_conv.left"),
            (rf"{released}\.conv_{theirs}\.weight_v", rf"{ours}.{mine}_conv.right"),
            (rf"{released}\.conv_{theirs}\.bias", rf"{ours}.{mine}_conv.bias"),
            (rf"{released}\.norm_{theirs}\.mlp_shared\.0\.{_PLAIN}", rf"{ours}.{mine}_norm.shared.\2"),
            (rf"{released}\.norm_{theirs}\.mlp_gamma\.{_PLAIN}", rf"{ours}.{mine}_norm.scale.\2"),
            (rf"{released}\.norm_{theirs}\.mlp_beta\.{_PLAIN}", rf"{ours}.{mine}_norm.shift.\2"),
        ]
    return tuple(rules)


_KP = r"kp_extractor\.predictor"
_MOTION = r"generator\.dense_motion_network"
_HOURGLASS = rf"{_MOTION}\.hourglass"
_OUR_HOURGLASS = "generator.dense_motion.hourglass"
#: what the released estimator calls its heads, and what they predict (PARITY.md P45)
_ESTIMATOR_HEADS = {"yaw": "roll", "pitch": "pitch", "roll": "yaw", "t": "translation", "exp": "offsets"}

RULES: tuple[tuple[str, str | None], ...] = (
    # mapping_00229 serves the plain modes, mapping_00109 the full ones
    *_mapping("mapping_00229", "mapping"),
    *_mapping("mapping_00109", "mapping_full"),
    # key points
    (r"kp_extractor\.down\.weight", r"keypoint_detector.shrink.kernel"),
    (rf"{_KP}\.down_blocks\.down(\d)\.conv\.{_PLAIN}", r"keypoint_detector.down.\1.conv.\2"),
    (rf"{_KP}\.down_blocks\.down(\d)\.norm\.{_NORM}", r"keypoint_detector.down.\1.norm.\2"),
    (rf"{_KP}\.conv\.{_PLAIN}", r"keypoint_detector.into_depth.\1"),
    (rf"{_KP}\.up_blocks\.up(\d)\.conv\.{_PLAIN}", r"keypoint_detector.up.\1.conv.\2"),
    (rf"{_KP}\.up_blocks\.up(\d)\.norm\.{_NORM}", r"keypoint_detector.up.\1.norm.\2"),
    (rf"kp_extractor\.kp\.{_PLAIN}", r"keypoint_detector.heat.\1"),
    # the source's way into the feature volume
    (rf"generator\.first\.conv\.{_PLAIN}", r"generator.encoder.stem.conv.\1"),
    (rf"generator\.first\.norm\.{_NORM}", r"generator.encoder.stem.norm.\1"),
    (rf"generator\.down_blocks\.(\d)\.conv\.{_PLAIN}", r"generator.encoder.down.\1.conv.\2"),
    (rf"generator\.down_blocks\.(\d)\.norm\.{_NORM}", r"generator.encoder.down.\1.norm.\2"),
    (rf"generator\.second\.{_PLAIN}", r"generator.encoder.into_depth.\1"),
    (rf"generator\.resblocks_3d\.3dr(\d)\.conv1\.{_PLAIN}", r"generator.encoder.blocks.\1.first_conv.\2"),
    (rf"generator\.resblocks_3d\.3dr(\d)\.conv2\.{_PLAIN}", r"generator.encoder.blocks.\1.second_conv.\2"),
    (rf"generator\.resblocks_3d\.3dr(\d)\.norm1\.{_NORM}", r"generator.encoder.blocks.\1.first_norm.\2"),
    (rf"generator\.resblocks_3d\.3dr(\d)\.norm2\.{_NORM}", r"generator.encoder.blocks.\1.second_norm.\2"),
    # motion
    (rf"{_MOTION}\.compress\.{_PLAIN}", r"generator.dense_motion.compression.\1"),
    (rf"{_MOTION}\.norm\.{_NORM}", r"generator.dense_motion.compression_norm.\1"),
    (rf"{_HOURGLASS}\.encoder\.down_blocks\.(\d)\.conv\.{_PLAIN}", rf"{_OUR_HOURGLASS}.down.\1.conv.\2"),
    (rf"{_HOURGLASS}\.encoder\.down_blocks\.(\d)\.norm\.{_NORM}", rf"{_OUR_HOURGLASS}.down.\1.norm.\2"),
    (rf"{_HOURGLASS}\.decoder\.up_blocks\.(\d)\.conv\.{_PLAIN}", rf"{_OUR_HOURGLASS}.up.\1.conv.\2"),
    (rf"{_HOURGLASS}\.decoder\.up_blocks\.(\d)\.norm\.{_NORM}", rf"{_OUR_HOURGLASS}.up.\1.norm.\2"),
    (rf"{_HOURGLASS}\.decoder\.conv\.{_PLAIN}", rf"{_OUR_HOURGLASS}.last.conv.\1"),
    (rf"{_HOURGLASS}\.decoder\.norm\.{_NORM}", rf"{_OUR_HOURGLASS}.last.norm.\1"),
    (rf"{_MOTION}\.mask\.{_PLAIN}", r"generator.dense_motion.mask.\1"),
    (rf"{_MOTION}\.occlusion\.{_PLAIN}", r"generator.dense_motion.occlusion.\1"),
    # decoder
    (rf"generator\.third\.conv\.{_PLAIN}", r"generator.flatten.conv.\1"),
    (rf"generator\.third\.norm\.{_NORM}", r"generator.flatten.norm.\1"),
    (rf"generator\.fourth\.{_PLAIN}", r"generator.flatten_out.\1"),
    (rf"generator\.decoder\.fc\.{_PLAIN}", r"generator.decoder.stem.\1"),
    *_spade_blocks(r"generator\.decoder\.G_middle_(\d)", r"generator.decoder.middle.\1"),
    *_spade_blocks(r"generator\.decoder\.up_(\d)", r"generator.decoder.up.\1"),
    (rf"generator\.decoder\.conv_img\.{_PLAIN}", r"generator.decoder.to_rgb.\1"),
    *_estimator(),
)
