"""Eyes that look elsewhere, and lids that move over them: the iris is carried along as it is, and the white of the eye
gives way.

In: where the irises of the portrait are (face/iris.py), and the units of gaze and lids of the portrait and of a frame.
Out: the place of the portrait that each pixel of the frame shows, known from the mesh, corrected within the eyes.

    corner ------|--- iris ---|------ corner     x, in widths of the eye: all of the movement on the iris, less and less
                                                 towards the corners; y down

The mesh stretches what is between the lids as these part, an iris to an oval. So the mesh with the lids at rest gives
what of the eye itself is where, and the lids of the frame how much of it is visible. What lids uncover is not in the
portrait: it is taken from the edge of the lid, as far from the middle of the iris, so that a round iris goes on round.
Letters: `B` frames, `P` blendshapes, `S` side of the crop, `h w` the rectangle around an eye.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...canonical_face import LEFT_EYE, RIGHT_EYE
from ...coefficients import BLENDSHAPE_INDEX
from ...easing import smoothstep
from ..meshwarp.edge_curves import below_edge, edge_curve, line_coordinates, pixels_around
from ..meshwarp.flow_maps import MeshFlow
from ..meshwarp.posed_rig import PosedRig

#: how far each unit moves the iris, in decimetres to the left of the person and up, as the eyeballs of the generated
#: heads do: by 21, 22, 10 and 15 degrees
_IRIS_SHIFTS = {
    "eyeLookOutLeft": (0.0534, 0.0), "eyeLookInLeft": (-0.0561, 0.0),
    "eyeLookUpLeft": (0.0, 0.0269), "eyeLookDownLeft": (0.0, -0.0396),
    "eyeLookOutRight": (-0.0534, 0.0), "eyeLookInRight": (0.0561, 0.0),
    "eyeLookUpRight": (0.0, 0.0269), "eyeLookDownRight": (0.0, -0.0396),
}  # fmt: skip
GAZE_UNITS = tuple(BLENDSHAPE_INDEX[name] for name in _IRIS_SHIFTS)
_LIDS_MOVE = ("eyeBlink", "eyeSquint", "eyeWide", "cheekSquint")
LID_UNITS = tuple(BLENDSHAPE_INDEX[f"{name}{side}"] for name in _LIDS_MOVE for side in ("Left", "Right"))

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
#: from the edge of a lid of the frame: where the eye itself begins, and over how much
_BEHIND, _BEHIND_FADE = 0.01, 0.06
#: from the edges of the portrait's lids: what lies nearer is lashes and their shadow, and is not drawn out
_CLEAR_ABOVE, _CLEAR_BELOW = 0.05, 0.02
_NARROW = 0.03  #: no opening counts as narrower
_SHUT, _OPEN = 0.12, 0.4  #: of the portrait's opening: the eye itself is hidden, and wholly visible
_SOFT = 0.006  #: of the seam through the middle of what is uncovered


class Gaze:
    """irises (2, 3): x, y and radius of the left and the right one in pixels of the crop; head: the portrait's."""

    def __init__(self, irises: Tensor, head: PosedRig):
        self.head = head
        rig, turned = head.rig, head.rig.face.fit.rotation
        shifts = torch.zeros(2, len(GAZE_UNITS), 2)
        lids = rig.face.canonical.blendshapes[list(GAZE_UNITS)]  # (8, 468, 3)
        self.eyes = []
        for k, (upper, lower) in enumerate(_LIDS):
            edges = head.on_crop(rig.source[list(upper)])[None], head.on_crop(rig.source[list(lower)])[None]
            self.eyes.append(_Eye(*edges, irises[k]))
            side = "Left" if k == 0 else "Right"
            for n, (name, shift) in enumerate(_IRIS_SHIFTS.items()):
                if name.endswith(side):
                    shifts[k, n] = torch.tensor(shift)
                    # the mesh has moved what is between the lids sideways by the mean of both
                    shifts[k, n, 0] -= lids[n][[*upper[_MIDDLE], *lower[_MIDDLE]], 0].mean().cpu()
        # in pixels of the crop, x right and y down, as the portrait's head is turned
        flat = turned[:2, :2].cpu() * torch.tensor([1.0, -1.0])[:, None] * head.density
        self.iris_shifts = torch.einsum("xy,kny->knx", flat, shifts)

    def move_irises(self, moved: Tensor, weights: Tensor, flow: MeshFlow) -> Tensor:
        """moved (B, 2, S, S): where in the portrait each pixel of a frame lies, minus where it is, in halves of the
        crop's side; weights (B, P) of the frames -> the same, changed in place within the eyes of faces whose eyes or
        lids are not as in the portrait.
        """
        own = self.head.rig.face.weights.to(weights)
        change = weights - own
        if not bool((change[:, [*GAZE_UNITS, *LID_UNITS]] != 0).any()):
            return moved
        to_pixels = moved.shape[-1] / 2
        for k, (eye, (upper, lower)) in enumerate(zip(self.eyes, _LIDS, strict=True)):
            now, rest = (
                (self.head.on_crop(mesh[:, list(upper)]), self.head.on_crop(mesh[:, list(lower)]))
                for mesh in (flow.mesh, flow.at_rest)
            )
            rows, columns, places = pixels_around(torch.cat(now, dim=1), 0.5 * eye.width, moved.shape[-1])
            seen = moved[:, :, rows, columns] * to_pixels + places.permute(2, 0, 1)
            shift = change[:, list(GAZE_UNITS)] @ self.iris_shifts[k].to(change)
            moved[:, :, rows, columns] -= eye.carried(seen, places, shift.to(seen), now, rest) / to_pixels
        return moved


class _Lids:
    """Edges of lids, upper and lower (B, 9, 2) from corner to corner, and places (h, w, 2), all in pixels.

    depth (B, h, w)          how deep between the lids each place is: 0 at the upper, 1 at the lower one
    under, over (B, h, w)    how far below the upper, and above the lower lid, in pixels
    opening (B, 1, 1)        how far the lids are apart in the middle;  width: of the eye
    """

    def __init__(self, edges: tuple[Tensor, Tensor], places: Tensor):
        upper, lower = (edge_curve(edge) for edge in edges)
        width = (edges[0][:, -1] - edges[0][:, 0]).norm(dim=-1).clamp_min(1e-3)[:, None, None]
        u, v = line_coordinates(places[None], edges[0])
        above, below = below_edge(upper, u), below_edge(lower, u)
        self.width, self.under, self.over = width, v - above, below - v
        self.depth = self.under / torch.maximum(below - above, _NARROW * width)
        self.opening = (lower[:, _MIDDLE, 1] - upper[:, _MIDDLE, 1]).mean(1)[:, None, None]


class _Eye:
    """upper, lower (1, 9, 2) edges of the portrait's lids; its iris (3,) x, y and radius; in pixels of the crop."""

    def __init__(self, upper: Tensor, lower: Tensor, iris: Tensor):
        self.upper, self.lower = edge_curve(upper), edge_curve(lower)
        self.corners, self.width = upper, max(float((upper[0, -1] - upper[0, 0]).norm()), 1e-3)
        along = (upper[0, -1] - upper[0, 0]) / self.width
        self.axes = torch.stack([along, along.flip(0) * along.new_tensor([-1.0, 1.0])])  # rows: x, y down
        # in widths, x from the middle between the corners
        u, v = line_coordinates(iris[:2].to(upper)[None, None, None], upper)
        self.x, self.y, self.radius = float(u) - 0.5, float(v) / self.width, float(iris[2]) / self.width

    def carried(
        self, seen: Tensor, places: Tensor, shift: Tensor, now: tuple[Tensor, Tensor], rest: tuple[Tensor, Tensor]
    ) -> Tensor:
        """seen (B, 2, h, w) of the portrait at places (h, w, 2) of frames, shift (B, 2) of the iris, all in pixels;
        the lids of the frames, and at rest -> (B, 2, h, w) how far what is visible there has moved.
        """
        across, down = (shift @ self.axes.T / self.width).unbind(-1)
        most = _CORNER - _AROUND_IRIS * self.radius - _LEAST_WHITE
        across = across.clamp(min(-most - self.x, 0.0), max(most - self.x, 0.0))[:, None, None]
        down = down.clamp(-1.5 * self.radius, 1.5 * self.radius)[:, None, None]
        u, v = line_coordinates(seen.permute(0, 2, 3, 1), self.corners.expand(len(seen), -1, -1))
        x, y = u - 0.5, v / self.width
        above, below = (below_edge(edge, u) / self.width for edge in (self.upper, self.lower))
        # around the iris where it is now
        middle, reach = self.x + across, _AROUND_IRIS * self.radius
        left, right = ((_CORNER + side * middle - reach).clamp_min(_SHORTEST_FADE) for side in (1, -1))
        beside = torch.where(x < middle, (middle - reach - x) / left, (x - middle - reach) / right)
        sideways = 1 - smoothstep(beside)
        within = (1 - smoothstep((above - _OVER - y) / (_OVER_END - _OVER))) * (
            1 - smoothstep((y - below - _UNDER) / (_UNDER_END - _UNDER))
        )
        # the eye itself, up to the lids of the frame
        lids, open_lids = _Lids(now, places), _Lids(rest, places)
        shown = smoothstep((lids.opening / open_lids.opening.clamp_min(1e-3) - _SHUT) / (_OPEN - _SHUT))
        behind = (smoothstep((gap / lids.width - _BEHIND) / _BEHIND_FADE) for gap in (lids.under, lids.over))
        itself = sideways * shown * math.prod(behind)
        wanted = y + (open_lids.depth - lids.depth) * (below - above).clamp_min(_NARROW) - down
        new_x, new_y = x - across * sideways * within, y + itself * (wanted - y)
        # what was hidden in the portrait, by the upper and by the lower lid: from the edge of what was not
        edge = new_y.clamp(torch.minimum(above + _CLEAR_ABOVE, y), torch.maximum(below - _CLEAR_BELOW, y))
        from_iris = new_x - self.x
        longer = from_iris.square() + (new_y - self.y).square() - (edge - self.y).square()
        round_iris = self.x + from_iris * (longer.clamp_min(0) / (from_iris.square() + _SOFT**2)).sqrt()
        new_x = torch.where(edge == new_y, new_x, torch.lerp(new_x, round_iris, itself))
        moved = torch.stack([x - new_x, y - edge], dim=-1) * self.width
        return (moved @ self.axes).permute(0, 3, 1, 2)
