"""The person's own upper teeth, from a frame that shows them, for frames in which the new mouth uncovers them.

In: the frame of the sample that shows most of them. Out: a drawing of the kind that render/mouth/dentition.py makes, to
hang on the same anchor. So every frame shows the same teeth, whatever the source frame's own lips uncover. Where the
sample hides a tooth, the drawn row continues, in the colour and at the height of the real teeth.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ..render.meshwarp.mouth_anchors import UPPER_TEETH, inside_points, mouth_anchors
from ..render.meshwarp.posed_rig import PosedRig
from ..render.meshwarp.warp import sample
from ..render.mouth.dentition import ARCH, ENAMEL, HALF_HEIGHT, HALF_WIDTH, SMILE, UPPER_CROWNS, teeth
from ..render.mouth.light import light_of
from ..render.mouth.own_teeth import OwnTeeth

_FINEST = 400  #: pixels per decimetre: finer drawings are enlarged from this
#: square decimetres of teeth below which a video shows too few: smiles have .03 and more, highlights on closed lips up
#: to .017
_LEAST = 0.02


def visible_teeth(image: Tensor, head: PosedRig) -> float:
    """image (1, 3, S, S) with the whole face, its head -> how much of the upper row it shows, square decimetres."""
    own = OwnTeeth(image, head, light_of(image, head)).rows.get(UPPER_TEETH)
    return 0.0 if own is None else float(own.mask.sum()) / head.density**2


def drawing_of(image: Tensor, head: PosedRig) -> Tensor | None:
    """image (1, 3, S, S) with mouth and eyes -> (4, H, W) colour and cover of the upper row, colours for white light
    on enamel as those of `teeth`; None where it shows too few.
    """
    own = OwnTeeth(image, head, light_of(image, head)).rows.get(UPPER_TEETH)
    if own is None or float(own.mask.sum()) < _LEAST * head.density**2:
        return None
    density = min(head.density, float(_FINEST))
    drawn = teeth(density, UPPER_CROWNS, rise=SMILE).to(image)
    height, width = drawn.shape[-2:]
    y = (0.5 - (torch.arange(height) + 0.5) / height) * 2 * HALF_HEIGHT
    x = ((torch.arange(width) + 0.5) / width - 0.5) * 2 * HALF_WIDTH
    flat = torch.stack([x.expand(height, -1), y[:, None].expand(-1, width)], dim=-1)
    sampled = sample(torch.cat([image, own.mask], dim=1), (_places_of(flat, head) * (2 / image.shape[-1]) - 1)[None])[0]
    lifted = torch.stack([flat[..., 0] / HALF_WIDTH, -(flat[..., 1] - own.lift) / HALF_HEIGHT], dim=-1)
    drawn = F.grid_sample(drawn[None], lifted[None], padding_mode="border", align_corners=False)[0]
    enamel = own.colour / own.colour.new_tensor(ENAMEL)
    colours, cover = sampled[:3] / enamel.clamp_min(0.05)[:, None, None], sampled[3:]
    below = torch.lerp(drawn[:3], colours.clamp(0, 1.5), cover)
    return torch.cat([below, torch.maximum(drawn[3:], cover)])


def _places_of(flat: Tensor, head: PosedRig) -> Tensor:
    """flat (H, W, 2), decimetres on the unrolled arch from the middle of the tooth edge -> where they appear, pixels of
    the image; the inverse of what `Mouth` looks up.
    """
    face, turn = head.rig.face, torch.eye(3)[None]
    weights, shift = torch.zeros_like(face.weights)[None], torch.zeros(1, 2)
    anchors = mouth_anchors(face, inside_points(face, weights, turn, shift), weights, turn)
    axes = anchors.axes[0] * head.zoom
    view = torch.linalg.inv(axes[:, :2]) @ axes[:, 2]
    bent = flat - view * (ARCH * flat[..., :1].square())
    return head.on_crop(anchors.anchors[0, UPPER_TEETH]) + bent @ axes[:, :2].T


__all__ = ["drawing_of", "visible_teeth"]
