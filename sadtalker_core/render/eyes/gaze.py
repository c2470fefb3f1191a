"""Eyes that look elsewhere: the iris is carried along as it is, and the white of the eye gives way.

In: where the irises of the portrait are (face/iris.py), and the gaze units of the portrait and of a frame. Out: the
place of the portrait that each pixel of the frame shows, known from the mesh, corrected within the eyes. So lids
that close, and heads that turn, take the iris along without anybody having to tell it.

    corner ------|--- iris ---|------ corner     x, in widths of the eye: all of the movement on the iris, less and less
                                                 towards the corners; y down
Letters: `B` frames, `P` blendshapes, `S` side of the crop, `h w` the rectangle around an eye.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...canonical_face import LEFT_EYE, RIGHT_EYE
from ...coefficients import BLENDSHAPE_INDEX
from ...easing import smoothstep
from ..meshwarp.edge_curves import below_edge, beside_line, edge_curve, pixels_around
from ..meshwarp.flow_maps import MeshFlow
from ..meshwarp.posed_rig import PosedRig

#: how far each unit moves the iris, in decimetres to the left of the person and up, as the eyeballs of the generated
#: heads do: by 21, 22, 10 and 15 degrees
_LOOKS = {
    "eyeLookOutLeft": (0.0534, 0.0), "eyeLookInLeft": (-0.0561, 0.0),
    "eyeLookUpLeft": (0.0, 0.0269), "eyeLookDownLeft": (0.0, -0.0396),
    "eyeLookOutRight": (-0.0534, 0.0), "eyeLookInRight": (0.0561, 0.0),
    "eyeLookUpRight": (0.0, 0.0269), "eyeLookDownRight": (0.0, -0.0396),
}  # fmt: skip
GAZE_UNITS = tuple(BLENDSHAPE_INDEX[name] for name in _LOOKS)

#: left eye, then right: the points of the upper and of the lower lid from the left to the right of the image
_LIDS: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    (tuple(LEFT_EYE[8::-1]), (*LEFT_EYE[8:], LEFT_EYE[0])),
    (tuple(RIGHT_EYE[:9]), (RIGHT_EYE[0], *RIGHT_EYE[:7:-1])),
)
_MIDDLE = slice(3, 6)

# In widths of the eye. Tuned by eye on the portraits of `make eval-mini` (docs/MINI.md, "Brows, lids and eyes"), whose
# frames "look -12" and "look +12" show them.
_AROUND_IRIS = 1.2  #: times its radius: there all of the movement arrives
_CORNER, _SHORTEST_FADE = 0.53, 0.09  #: where it has ended, from the middle; over how much it fades at least
_LEAST_WHITE = 0.03  #: left between iris and corner
#: beyond the lids, as the mesh has them within their edges: how far the movement goes, and where it has ended
_OVER, _OVER_END, _UNDER, _UNDER_END = 0.08, 0.2, 0.08, 0.19


class Gaze:
    """irises (2, 3): x, y and radius of the left and the right one in pixels of the crop; head: the portrait's."""

    def __init__(self, irises: Tensor, head: PosedRig):
        self.head = head
        rig, turned = head.rig, head.rig.face.fit.rotation
        looks = torch.zeros(2, len(GAZE_UNITS), 2)
        lids = rig.face.canonical.blendshapes[list(GAZE_UNITS)]  # (8, 468, 3)
        self.eyes = []
        for k, (upper, lower) in enumerate(_LIDS):
            edges = head.on_crop(rig.source[list(upper)])[None], head.on_crop(rig.source[list(lower)])[None]
            width = float((edges[0][0, -1] - edges[0][0, 0]).norm())
            u, _ = beside_line(irises[k, :2].to(edges[0])[None, None, None], edges[0])
            self.eyes.append(_Eye(*edges, width, float(u) - 0.5, float(irises[k, 2]) / max(width, 1e-3)))
            side = "Left" if k == 0 else "Right"
            for n, (name, look) in enumerate(_LOOKS.items()):
                if name.endswith(side):
                    looks[k, n] = torch.tensor(look)
                    # the mesh has moved what is between the lids by the mean of both
                    moved = lids[n][[*upper[_MIDDLE], *lower[_MIDDLE]], :2].mean(0)
                    looks[k, n] -= moved.cpu()
        # in pixels of the crop, x right and y down, as the portrait's head is turned
        flat = turned[:2, :2].cpu() * torch.tensor([1.0, -1.0])[:, None] * head.density
        self.looks = torch.einsum("xy,kny->knx", flat, looks)

    def look(self, moved: Tensor, weights: Tensor, flow: MeshFlow) -> Tensor:
        """moved (B, 2, S, S): where in the portrait each pixel of a frame lies, minus where it is, in halves of the
        crop's side; weights (B, P) of the frames -> the same, changed in place within the eyes of faces that look
        elsewhere.
        """
        own = self.head.rig.face.weights[list(GAZE_UNITS)].to(weights)
        change = weights[:, list(GAZE_UNITS)] - own
        if not bool((change != 0).any()):
            return moved
        to_pixels = moved.shape[-1] / 2
        for k, (eye, edges) in enumerate(zip(self.eyes, _LIDS, strict=True)):
            points = self.head.on_crop(flow.mesh[:, [*edges[0], *edges[1]]])
            rows, columns, places = pixels_around(points, 0.5 * eye.width, moved.shape[-1])
            seen = moved[:, :, rows, columns] * to_pixels + places.permute(2, 0, 1)
            carried = eye.carried(seen, (change @ self.looks[k].to(change)).to(seen))
            moved[:, :, rows, columns] -= carried / to_pixels
        return moved


class _Eye:
    """upper, lower (1, 9, 2) edges of the lids in pixels of the crop; width of the eye in pixels; x and radius of the
    iris in widths, from the middle between the corners.
    """

    def __init__(self, upper: Tensor, lower: Tensor, width: float, iris: float, radius: float):
        self.upper, self.lower = edge_curve(upper), edge_curve(lower)
        self.corners, self.width, self.iris, self.radius = upper, width, iris, radius
        along = (upper[0, -1] - upper[0, 0]) / max(width, 1e-3)
        self.axes = torch.stack([along, along.flip(0) * along.new_tensor([-1.0, 1.0])])  # rows: x, y down

    def carried(self, places: Tensor, shift: Tensor) -> Tensor:
        """places (B, 2, h, w), shift (B, 2) of the iris, in pixels -> (B, 2, h, w) how far what is seen there has
        come.
        """
        across, down = (shift @ self.axes.T / max(self.width, 1e-3)).unbind(-1)
        most = _CORNER - _AROUND_IRIS * self.radius - _LEAST_WHITE
        across = across.clamp(min(-most - self.iris, 0.0), max(most - self.iris, 0.0))[:, None, None]
        down = down.clamp(-self.radius, self.radius)[:, None, None]
        u, v = beside_line(places.permute(0, 2, 3, 1), self.corners.expand(len(places), -1, -1))
        x, y = u - 0.5, v / max(self.width, 1e-3)
        above, below = (below_edge(edge, u) / max(self.width, 1e-3) for edge in (self.upper, self.lower))
        # around the iris where it is now
        now, reach = self.iris + across, _AROUND_IRIS * self.radius
        left, right = ((_CORNER + side * now - reach).clamp_min(_SHORTEST_FADE) for side in (1, -1))
        beside = torch.where(x < now, (now - reach - x) / left, (x - now - reach) / right)
        sideways = 1 - smoothstep(beside)
        within = (1 - smoothstep((above - _OVER - y) / (_OVER_END - _OVER))) * (
            1 - smoothstep((y - below - _UNDER) / (_UNDER_END - _UNDER))
        )
        # up and down only what is between the lids: they stay where they are
        half = ((below - above) / 2 + _OVER).clamp_min(_OVER)
        between = (1 - ((y - (above + below) / 2) / half).square()).clamp_min(0)
        moved = torch.stack([across * sideways * within, down * sideways * between], dim=-1) * self.width
        return (moved @ self.axes).permute(0, 3, 1, 2)
