"""One generated head recorded with two voices: two videos that differ in the mouth alone.

In: a seed. Out: the frames of both, and the voices. Head, lids, brows and light move alike in both; so the second video
is what the first one should become when it is dubbed with the second voice.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from sadtalker_core.audio.speech import encode_speech
from sadtalker_core.coefficients import ARKIT_BLENDSHAPES, BLENDSHAPE_INDEX, EXPRESSION
from sadtalker_core.datatypes import MINI, CropMode, FaceCoefficients
from sadtalker_core.model import load_model
from sadtalker_core.motion.edit import MOUTH_GROUP, blendshapes_of
from sadtalker_core.pipeline import predict_expression
from sadtalker_core.timeline import FRAMES_PER_SECOND, SAMPLE_RATE_HZ
from sadtalker_core.training.heads.expressions import turn
from sadtalker_core.training.heads.mesh import load_head_mesh
from sadtalker_core.training.heads.scene import Frame, Scene, exact_flow

TEST_SEED = 20_261
#: what holds lips together, from which weight on wholly, and what parts them beside the jaw
_PRESSES = [BLENDSHAPE_INDEX[f"mouthPress{side}"] for side in ("Left", "Right")]
_PRESSED = 0.18
_PARTING = [
    k for name, k in BLENDSHAPE_INDEX.items() if name.startswith(("mouthLowerDown", "mouthUpperUp", "mouthFunnel"))
]
#: radians and decimetres: how far the head goes to and fro, and how many seconds it takes
_NOD, _TURN, _TILT, _SHIFT = (0.05, 2.3), (0.16, 3.1), (0.04, 4.3), (0.06, 3.7)


@dataclass(frozen=True, eq=False)
class TwoVideos:
    """first, second (T, S, S, 3) bytes at 25 fps;  voices: (n,) each at 16 kHz, -1..1;  layer (T, S, S): of the second,
    as training/heads/mesh.py numbers them;  weights (2, T, 52): what both faces did
    """

    first: np.ndarray
    second: np.ndarray
    voices: tuple[np.ndarray, np.ndarray]
    weights: np.ndarray


def expression_of(voice: np.ndarray, n_frames: int, seed: int = 0) -> np.ndarray:
    """(T, 52): what ExpNet hears in it, on a face at rest; lids and brows by the seed."""
    model = load_model("mini", [])
    rest = FaceCoefficients.from_crop_rows(
        torch.zeros(1, EXPRESSION + 9), family=MINI, crop_mode=CropMode.CROP, pic_size=256
    )
    speech = encode_speech(torch.from_numpy(voice)[None], SAMPLE_RATE_HZ)
    with torch.inference_mode():
        predicted = predict_expression(model, speech, rest, seed=seed)
    rows = predicted.coefficients[:n_frames, : len(ARKIT_BLENDSHAPES)].numpy()
    return np.pad(rows, ((0, n_frames - len(rows)), (0, 0)))


def _with_lips_shut(rows: np.ndarray) -> np.ndarray:
    """Lips that are pressed are shut, as the family means it (render/meshwarp/lip_contact.py): the units of the head
    mesh alone would leave them apart.
    """
    shut = np.clip(rows[:, _PRESSES].mean(1, keepdims=True) / _PRESSED, 0, 1)
    rows = rows.copy()
    rows[:, _PARTING] *= 1 - shut
    jaw, close = (BLENDSHAPE_INDEX[name] for name in ("jawOpen", "mouthClose"))
    rows[:, [close]] += shut * (rows[:, [jaw]] - rows[:, [close]])
    return rows


def two_videos(number: int, voices: tuple[np.ndarray, np.ndarray], n_frames: int, side: int, folder: Path) -> TwoVideos:
    """The videos of one head; kept in the folder."""
    name = hashlib.sha256(voices[0].tobytes() + voices[1].tobytes()).hexdigest()[:8]
    file = folder / f"films_{number}_{n_frames}_{side}_{name}.npz"
    if not file.exists():
        np.savez_compressed(file, **_rendered(number, voices, n_frames, side, folder))
    with np.load(file) as stored:
        return TwoVideos(stored["first"], stored["second"], voices, stored["weights"])


def _rendered(
    number: int, voices: tuple[np.ndarray, np.ndarray], n_frames: int, side: int, folder: Path
) -> dict[str, np.ndarray]:
    scene = Scene(load_head_mesh(folder / "heads"), np.random.default_rng([TEST_SEED, number]), side)
    rows = np.stack([_with_lips_shut(expression_of(voice, n_frames, number)) for voice in voices])
    mouth = blendshapes_of(MOUTH_GROUP)
    rows[1][:, [k for k in range(rows.shape[2]) if k not in mouth]] = rows[0][
        :, [k for k in range(rows.shape[2]) if k not in mouth]
    ]
    videos = np.empty((2, n_frames, side, side, 3), np.uint8)
    for t in range(n_frames):
        for video in range(2):
            frame = _frame(scene, rows[video, t], t)
            videos[video, t] = (np.clip(frame.rgb, 0, 1) * 255 + 0.5).astype(np.uint8)
    return {"first": videos[0], "second": videos[1], "weights": rows}


def _frame(scene: Scene, weights: np.ndarray, t: int) -> Frame:
    at = 2 * np.pi * t / FRAMES_PER_SECOND
    (nod, turned, tilt, shift) = (far * np.sin(at / seconds) for far, seconds in (_NOD, _TURN, _TILT, _SHIFT))
    return scene.frame(weights, turn(turned, nod, tilt), np.array([shift, 0.3 * shift, 0.0]))


def moved_exactly(number: int, videos: TwoVideos, frames: range, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """These frames of the first video with every pixel where the second one has it, in the light that it had (n, S, S,
    3) bytes, and which pixels the first video shows at all (n, S, S): the best that moving pixels can do.
    """
    side = videos.first.shape[1]
    scene = Scene(load_head_mesh(folder / "heads"), np.random.default_rng([TEST_SEED, number]), side)
    centres = np.stack(np.meshgrid(*2 * [np.arange(side) + 0.5]), -1)
    moved, shown = [], []
    for t in frames:
        flow, seen = exact_flow(scene.person, *(_frame(scene, videos.weights[video, t], t) for video in range(2)))
        grid = torch.from_numpy((centres + flow) * (2 / side) - 1).float()[None]
        image = torch.from_numpy(videos.first[t]).float().permute(2, 0, 1)[None]
        image = F.grid_sample(image, grid, mode="bicubic", padding_mode="border", align_corners=False)
        moved.append(image[0].permute(1, 2, 0).clamp(0, 255).round().byte().numpy())
        shown.append(seen)
    return np.stack(moved), np.stack(shown)
