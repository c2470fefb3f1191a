"""Where the tensors of the released 3-D face network live in ours.

`RULES`: (pattern of the released key, our name), both in the manner of `re.sub`; a pattern has to match the whole key.
"""

from __future__ import annotations

from collections.abc import Iterator

_NORM = r"(weight|bias|running_mean|running_var|num_batches_tracked)"
_BACKBONE = r"face_3drecon\.backbone\."
_HEADS = ("identity", "expression", "texture", "rotation", "lighting", "translation_xy", "translation_z")


def _stage_rules() -> Iterator[tuple[str, str]]:
    parts = (("1", "squeeze"), ("2", "spatial"), ("3", "widen"))
    for stage in range(4):
        block = rf"{_BACKBONE}layer{stage + 1}\.(\d+)\."
        home = rf"face_recon.stages.{stage}.\1."
        for number, name in parts:
            yield rf"{block}conv{number}\.weight", rf"{home}{name}.weight"
            yield rf"{block}bn{number}\.{_NORM}", rf"{home}{name}_norm.\2"
        yield rf"{block}downsample\.0\.weight", rf"{home}shortcut.weight"
        yield rf"{block}downsample\.1\.{_NORM}", rf"{home}shortcut_norm.\2"


RULES: tuple[tuple[str, str | None], ...] = (
    (rf"{_BACKBONE}conv1\.weight", r"face_recon.stem.weight"),
    (rf"{_BACKBONE}bn1\.{_NORM}", r"face_recon.stem_norm.\1"),
    *_stage_rules(),
    *(
        (rf"face_3drecon\.final_layers\.{i}\.(weight|bias)", rf"face_recon.heads.{name}.\1")
        for i, name in enumerate(_HEADS)
    ),
)
