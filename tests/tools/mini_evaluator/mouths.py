"""What is seen in a mouth: where the tooth edges lie, and how much of it is teeth, tongue and dark.

In: a portrait's mesh and weights; or images of generated heads, rendered and true, whose layers are known. Out:
millimetres (a decimetre of the canonical head is 100), and shares of the opening.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sadtalker_core.coefficients import EXPRESSION
from sadtalker_core.datatypes import BlendshapeMotion
from sadtalker_core.render.meshwarp.flow_maps import mesh_flow
from sadtalker_core.render.meshwarp.mouth_anchors import LOWER_TEETH, UPPER_TEETH
from sadtalker_core.render.meshwarp.posed_rig import PosedRig
from sadtalker_core.training.heads.expressions import weights_of

UPPER_LIP, LOWER_LIP = 13, 14
#: a mouth whose jaw has opened by .3, its lips as in a vowel
OPEN = {"jawOpen": 0.3, "mouthLowerDown": 0.18, "mouthUpperUp": 0.08}

# What a colour is taken for, beside the true teeth of that mouth, or the lightest of what is in it.
_DARK = 0.3  #: of their light, below which it is dark
_TOOTH = 0.45  #: of their light, above which it is a tooth, if it is grey
_GREY = 0.6  #: the least of its colours by the largest
OPENINGS = {"hardly open": (0.0, 5.0), "open": (5.0, 12.0), "wide open": (12.0, 1e9)}  #: millimetres
KINDS = ("teeth", "red", "dark")


def tooth_edges(mesh: Tensor, side: int, own: Tensor) -> tuple[float, float]:
    """mesh (468, 3) in pixels of a crop of `side`, own (52 or more,) the portrait's weights -> millimetres, in the
    image and down the head: by how much the upper edge lies below the upper lip at rest; and the lower edge above the
    lower lip once the jaw has opened (`OPEN`).
    """
    nothing = torch.zeros(1)
    source = BlendshapeMotion(nothing, nothing, nothing, torch.zeros(1, 3), _wide(own)[None])
    head = PosedRig(mesh.float(), side, source)
    weights = torch.stack([torch.zeros(EXPRESSION), _wide(torch.from_numpy(weights_of(**OPEN)))])
    flow = mesh_flow(head.rig, weights, torch.eye(3).expand(2, 3, 3), torch.zeros(2, 2))
    down = head.rig.face.down_on_stage
    down = down / down.square().sum() * 100
    upper = (flow.mouth_anchors.anchors[0, UPPER_TEETH] - flow.mesh[0, UPPER_LIP]) @ down
    lower = (flow.mesh[1, LOWER_LIP] - flow.mouth_anchors.anchors[1, LOWER_TEETH]) @ down
    return float(upper), float(lower)


def _wide(weights: Tensor) -> Tensor:
    return torch.nn.functional.pad(weights.float(), (0, EXPRESSION - weights.shape[-1]))


class RenderedMouth(NamedTuple):
    """rendered, true (n, 3) colours of the opening in 0..1;  teeth (n,) whether it is one;  gap: millimetres from the
    highest to the lowest pixel.
    """

    rendered: np.ndarray
    true: np.ndarray
    teeth: np.ndarray
    gap: float


def shares(mouths: Iterable[RenderedMouth]) -> dict[tuple[str, str], tuple[float, float]]:
    """-> (kind, opening) -> the share of the opening in the rendered and in the true images, means over mouths."""
    sums: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for mouth in mouths:
        white = light_of(mouth.true, mouth.teeth)
        opening = next(name for name, (low, high) in OPENINGS.items() if low <= mouth.gap < high)
        pair = [seen(colours, white) for colours in (mouth.rendered, mouth.true)]
        for kind in KINDS:
            sums[kind, opening].append((pair[0][kind], pair[1][kind]))
    return {
        (kind, opening): tuple(float(v) for v in np.mean(sums[kind, opening], axis=0))  # type: ignore[misc]
        for opening in OPENINGS
        for kind in KINDS
        if sums[kind, opening]
    }


def light_of(true: np.ndarray, teeth: np.ndarray) -> float:
    """How light a tooth is in that mouth."""
    return float(true[teeth].mean(1).mean() if teeth.any() else np.quantile(true.mean(1), 0.95))


def seen(colours: np.ndarray, white: float) -> dict[str, float]:
    """colours (n, 3), how light a tooth would be -> the shares of `KINDS`; what is neither is none of them."""
    light = colours.mean(1)
    dark = light < _DARK * white
    grey = colours.min(1) / np.maximum(colours.max(1), 0.05) > _GREY
    teeth = ~dark & grey & (light > _TOOTH * white)
    return {"teeth": float(teeth.mean()), "dark": float(dark.mean()), "red": float((~dark & ~teeth).mean())}
