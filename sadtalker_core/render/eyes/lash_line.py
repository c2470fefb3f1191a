"""The line that lashes draw where an eye closes, over the frames, as sharp as the crop.

The warp brings the upper lid down (meshwarp/lid_contact.py); where it meets the lower one there is nothing in the
portrait to show, and the whites of the eye would shine through. In: frames and where the lids are. Out: the frames with
the line.
Letters: `B` frames, `S` side of the crop, `h w` the rectangle around an eye.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...canonical_face import LEFT_EYE, RIGHT_EYE
from ..meshwarp.edge_curves import below_edge, edge_curve, line_coordinates, pixels_around
from ..meshwarp.flow_maps import MeshFlow
from ..meshwarp.posed_rig import PosedRig
from .lid_skin import HARDLY

_UPPER = (tuple(LEFT_EYE[k] for k in (8, 7, 6, 5, 4, 3, 2, 1, 0)), tuple(RIGHT_EYE[:9]))

# Tuned by eye on the sheet of portraits that `make eval-mini` draws (docs/MINI.md, "The sheet"), column "blink".
_THICK, _HANGING = 0.009, 0.013  #: decimetres: the line upwards from the edge of the lid, and the lashes below it
_STRENGTH = 0.7  #: of a line where the eye is shut
_INNER_FADE, _OUTER_FADE = 0.2, 0.12  #: of the width of the eye, over which the line begins and ends
_DARK_FROM, _DARK_TO = -0.02, 0.03  #: decimetres around the edge of the lid: there the lashes' colour is looked for


class LashLine:
    """A portrait's crop (1, 3, S, S) in 0..1, and its head. The line is as dark as the darkest of its lids' edges."""

    def __init__(self, image: Tensor, head: PosedRig):
        self.head, self.density = head, head.density
        edges = head.on_crop(head.rig.source[[k for edge in _UPPER for k in edge[1:-1]]])
        near = torch.linspace(_DARK_FROM, _DARK_TO, 6, device=image.device) * self.density
        places = (edges[:, None] + torch.stack([torch.zeros_like(near), near], dim=-1)).flatten(0, 1)
        x, y = places.round().long().clamp(0, image.shape[-1] - 1).unbind(-1)
        colours = image[0][:, y, x]
        darkest = colours.mean(0).argsort()[: max(1, colours.shape[1] // 8)]
        self.colour = colours[:, darkest].mean(1)

    def draw(self, frames: Tensor, flow: MeshFlow) -> Tensor:
        """frames (B, 3, S, S) -> the same, on which lashes are drawn in place. Eyes that do not close are left as they
        are.
        """
        for eye, edge in enumerate(_UPPER):
            closing = torch.nonzero(flow.eye_closure[:, eye] > HARDLY)[:, 0]
            if not len(closing):
                continue
            points, closure = self.head.on_crop(flow.mesh[closing][:, edge]), flow.eye_closure[closing, eye]
            rows, columns, places = pixels_around(points, 3 * _HANGING * self.density, frames.shape[-1])
            u, v = line_coordinates(places[None], points)
            below = v - below_edge(edge_curve(points), u)
            reach = torch.where(below < 0, max(1.0, _THICK * self.density), max(1.5, _HANGING * self.density))
            ends = (u / _INNER_FADE).clamp(0, 1) * ((1 - u) / _OUTER_FADE).clamp(0, 1)
            line = torch.exp(-((below / reach) ** 2)) * ends * (_STRENGTH * closure[:, None, None].square())
            window = frames[closing, :, rows, columns]
            frames[closing, :, rows, columns] = window + line[:, None] * (self.colour[:, None, None] - window)
        return frames
