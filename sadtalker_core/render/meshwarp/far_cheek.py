"""The cheek that a portrait hardly shows, because it looks to the side, taken from the other one.

A head that turns back to the viewer would draw the few pixels of its far cheek out into streaks. There the other cheek
is shown, mirrored by the mesh, in the light of this one: its colours times the ratio of both sides, which is measured
where both are well seen, and carried on over the mesh from there. Eyes, mouth and the edge of the face stay what they
are.

Letters: `B` frames, `M` points of the rig, `S` side of the crop, `h` side of the stage. Stage as in placement.py.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from ...canonical_face import N_POINTS, SKIN, load_canonical_face
from ...easing import smoothstep
from .edge_curves import pixels_around
from .flow_maps import MeshFlow, face_at_rest, on_the_mesh
from .lip_contact import skin_springs
from .placement import STAGE
from .posed_rig import PosedRig
from .warp import Lookup, largest_around, mean_around, sample

# Tuned by eye on turns of 10 and 20 degrees of biden and obama3, who look aside by 10 degrees.
#: by how much more a skin faces the viewer than it does in the portrait, from where on it may be taken from the other
#: cheek, and from where on it is; and by how much more the other cheek has to face the viewer in the portrait
_DRAWN_OUT, _BETTER = (1.25, 2.0), (1.15, 1.6)
_ASIDE = (0.05, 0.12)  #: the sine of the angle from which on a portrait looks aside, and surely does
_EDGE_ON = 0.05  #: what faces the viewer less counts as this
_WELL_SEEN = (0.25, 0.6)  #: how far skin faces the viewer from where its colour counts, and counts wholly
_AROUND = 7  #: pixels of the stage over which a colour is averaged
_FIRM = 0.5  #: how firmly a measured ratio holds, beside those of its neighbours
_MOST = 1.0  #: the logarithm of the ratio of a colour on both sides
_DARKEST = 0.02  #: of 1, added to colours that are compared
_LEAST = 1e-3  #: the share of a pixel of which nothing is seen
_RIM = 15  #: pixels of the stage, a square: half of it is the width over which the edge of the face comes back
_WITHIN = 3  #: pixels of the stage, a square: what shows the person by less around a spot is an edge
_MARGIN = 12  #: pixels of the stage to the next points of the mesh
#: middle and half axes in decimetres, of head coordinates from the pivot, of what stays: each eye, and the mouth
_EYE, _EYE_AXES, _MOUTH_Y, _MOUTH_AXES = (0.33, 0.84), (0.19, 0.12), 0.18, (0.27, 0.20)
_OVER = 0.4  #: over so many times these axes they go over into what is taken from the other side


class FarCheek:
    """Of a portrait's stage (1, 3, h, h), a lookup of its crop, its head, and its person (1, 1, h, h) on the stage."""

    @classmethod
    def of(cls, stage: Tensor, lookup: Lookup, head: PosedRig) -> FarCheek | None:
        """None for a portrait that looks into the camera, or whose person is not known."""
        aside = float(head.rig.face.fit.rotation[0, 2].abs())
        return None if head.person is None or aside <= _ASIDE[0] else cls(stage, lookup, head, head.person)

    def __init__(self, stage: Tensor, lookup: Lookup, head: PosedRig, person: Tensor):
        self.lookup, self.head = lookup, head
        face = head.rig.face
        normals = _normals().to(stage) @ face.fit.rotation.T
        other = _other_side().to(stage.device)
        self.normals, self.facing = normals, normals[:, 2].clamp_min(_EDGE_ON)
        better = self.facing[other] / self.facing
        aside = (face.fit.rotation[0, 2].abs() - _ASIDE[0]) / (_ASIDE[1] - _ASIDE[0])
        better = smoothstep((better - _BETTER[0]) / (_BETTER[1] - _BETTER[0]))
        self.may = better * smoothstep(aside) * _cheeks().to(stage)
        mirrored = face.points[other]
        self.known = torch.cat([face.points, mirrored, self._light(stage, mirrored)], dim=1)[None]
        self.within = 1 - mean_around(largest_around(1 - person, _WITHIN), _WITHIN)

    def _light(self, stage: Tensor, mirrored: Tensor) -> Tensor:
        """(468, 3) the logarithm of the colours on this side by those on the other."""
        face = face_at_rest(self.head.rig)
        known = mean_around(torch.cat([stage * face, face], dim=1), _AROUND)
        own, other = (_colours_at(known, points) for points in (self.head.rig.face.points, mirrored))
        both = torch.minimum(self.facing, self.facing[_other_side().to(stage.device)])
        firm = _FIRM * smoothstep((both - _WELL_SEEN[0]) / (_WELL_SEEN[1] - _WELL_SEEN[0])) + 1e-4
        springs = skin_springs().to(stage) + torch.diag(firm)
        return torch.linalg.solve(springs, firm[:, None] * (own / other).log()).clamp(-_MOST, _MOST)

    def draw(self, frames: Tensor, turn: Tensor, flow: MeshFlow) -> None:
        """Onto frames (B, 3, S, S), as the warp has them, in place. turn (B, 3, 3) of the head."""
        viewer = F.normalize(turn[:, 2].to(self.normals), dim=-1)
        more = (viewer @ self.normals.T) / self.facing
        share = self.may * smoothstep((more - _DRAWN_OUT[0]) / (_DRAWN_OUT[1] - _DRAWN_OUT[0]))
        drawn = (share > _LEAST).any(0)
        if not drawn.any():
            return
        n, side, head = len(frames), frames.shape[-1], self.head
        rows, columns, centres = pixels_around(flow.mesh[:, drawn], _MARGIN, STAGE)
        maps = on_the_mesh(torch.cat([share[..., None], self.known.expand(n, -1, -1)], dim=-1), flow, rows, columns)
        maps[:, 1:2] *= smoothstep(2 * mean_around(maps[:, :1], _RIM) - 1)
        ends = head.on_crop(centres[[0, -1], [0, -1]])
        rows, columns, places = pixels_around(ends[None], 0.0, side)
        grid = (head.on_stage(places) - centres[0, 0] + 0.5) * 2 / centres.new_tensor(maps.shape[:1:-1]) - 1
        covered, share, known = sample(maps, grid.expand(n, -1, -1, -1)).split((1, 1, 7), dim=1)
        own, mirrored, light = (known / covered.clamp_min(_LEAST)).split((2, 2, 3), dim=1)
        share = share * sample(self.within.expand(n, -1, -1, -1), own.permute(0, 2, 3, 1) * (2 / STAGE) - 1)
        other = self.lookup(head.on_crop(mirrored.permute(0, 2, 3, 1)) * (2 / side) - 1)
        frames[:, :, rows, columns] += share * ((other * light.exp()).clamp_(0, 1) - frames[:, :, rows, columns])


def _colours_at(known: Tensor, points: Tensor) -> Tensor:
    """known (1, 4, h, h), sums of colours and of how much of them there is, points (n, 2) -> (n, 3)"""
    found = sample(known, (points * (2 / known.shape[-1]) - 1)[None, None])[0, :, 0].T
    return found[:, :3] / found[:, 3:].clamp_min(_LEAST) + _DARKEST


@lru_cache(maxsize=1)
@torch.inference_mode(False)
def _other_side() -> Tensor:
    """(468,) of each point of the mesh the one on the other side of the face."""
    places = load_canonical_face().mean
    return torch.cdist(places * torch.tensor([-1.0, 1.0, 1.0]), places).argmin(1)


@lru_cache(maxsize=1)
@torch.inference_mode(False)
def _normals() -> Tensor:
    """(468, 3) where the skin faces, in head coordinates, of length 1."""
    canonical = load_canonical_face()
    skin = canonical.triangles[canonical.kind == SKIN]
    one, two, three = canonical.mean[skin].unbind(1)
    outwards = torch.linalg.cross(two - one, three - one)[:, None].expand(-1, 3, -1)
    summed = torch.zeros(N_POINTS, 3).index_add_(0, skin.flatten(), outwards.flatten(0, 1))
    return summed / summed.norm(dim=1, keepdim=True).clamp_min(1e-9)


@lru_cache(maxsize=1)
@torch.inference_mode(False)
def _cheeks() -> Tensor:
    """(468,) 1 on cheeks and forehead, 0 at eyes and mouth."""
    x, y, _ = (load_canonical_face().mean - load_canonical_face().pivot).unbind(1)
    eye = ((x.abs() - _EYE[0]) / _EYE_AXES[0]).square() + ((y - _EYE[1]) / _EYE_AXES[1]).square()
    mouth = (x / _MOUTH_AXES[0]).square() + ((y - _MOUTH_Y) / _MOUTH_AXES[1]).square()
    return smoothstep((torch.minimum(eye, mouth).sqrt() - 1) / _OVER)
