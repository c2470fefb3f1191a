"""For test_talks.py: the demo's voice through the eight nodes on a real portrait; the frames are measured again."""

import os
import sys

sys.path.insert(0, os.path.dirname(__file__))

import graphs  # noqa: E402
import torch  # noqa: E402

#: the middle of an open eye above the line between its corners, in eye widths
EYE_ABOVE_ITS_CORNERS = 0.1


def main(host, seconds: float) -> dict:
    voice = os.path.join(host.base, "input", "hello.flac")
    _shorten(voice, os.path.join(host.base, "input", "short.wav"), seconds)
    fast = {"expnet.blink_rate": 40.0, "posevae.seed": 3}
    outcome = host.run(graphs.talking(voice="short.wav", **fast))
    if outcome.error:
        return {"error": outcome.error["exception_message"]}
    frames, motion, model = host.value("render"), host.value("mapping"), host.value("model")
    portrait, whole = host.value("extract"), host.value("portrait")
    extract = host.nodes.NODE_CLASS_MAPPINGS["SadTalker3DMMExtract"].execute
    large = extract(model, whole, "resize", 1.0, 0.0, 0.0, "auto", render_size=0).result[0].crop
    before = host.core("face.crop").crop_square(whole.image, portrait.crop.box, 256)

    measure, mesh_room, types = host.core("face.metrics"), host.core("face.mesh"), host.core("datatypes")
    units = host.core("coefficients").BLENDSHAPE_INDEX
    (mesh_net,) = model.bring(["face_mesh"])
    low, high = portrait.crop.landmarks[:, :2].amin(0).tolist(), portrait.crop.landmarks[:, :2].amax(0).tolist()
    around = types.Box(int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1]))
    meshes = torch.stack([mesh_room.face_mesh(mesh_net, frame, around).points for frame in frames])
    driving = motion.driving.weights
    return {
        "error": None,
        "gap": measure.inner_lip_gap(meshes).tolist(),
        "jaw": driving[:, units["jawOpen"]].tolist(),
        "eyes": _dark_eyes(frames, meshes).tolist(),
        "blink": driving[:, units["eyeBlinkLeft"]].tolist(),
        "yaw": motion.driving.yaw.tolist(),
        "pitch": motion.driving.pitch.tolist(),
        "cheek_colour": _cheeks(frames, meshes).tolist(),
        "cut_as_before": torch.equal(portrait.crop.image, before) and not portrait.crop.fine,
        "cut_as_it_is": torch.equal(large.image, whole.image.permute(2, 0, 1)) and large.fine,
        "corner_change": (frames[:, :12, :12] - frames[:1, :12, :12]).abs().max().item(),
    }


def _cheeks(frames, meshes):
    """(T, 3): the mean colour of both cheeks."""
    return _spots(frames, [[mesh[50, :2], mesh[280, :2]] for mesh in meshes], high=3, wide=3)


def _dark_eyes(frames, meshes):
    """(T,): how much darker than the cheeks the middle of the eyes is; an iris is, a lid is not.

    The middle is reckoned from the corners of the eyes, which stay where they are in a blink. The mesh's own lids say
    little: its network was made for open eyes and draws them open over shut lids.
    """
    middles = []
    for mesh in meshes:
        corners = [(mesh[a, :2], mesh[b, :2]) for a, b in ((33, 133), (362, 263))]
        up = torch.tensor([0.0, -EYE_ABOVE_ITS_CORNERS])
        middles.append([(a + b) / 2 + up * (b - a).norm() for a, b in corners])
    return (_cheeks(frames, meshes) - _spots(frames, middles, high=1, wide=3)).mean(dim=-1)


def _spots(frames, places, high, wide):
    """(T, 3): the mean colour of small boxes around places (x, y)."""
    colours = []
    for frame, spots in zip(frames, places, strict=True):
        corners = [spot.round().int().tolist() for spot in spots]
        boxes = [frame[y - high : y + high + 1, x - wide : x + wide + 1].mean(dim=(0, 1)) for x, y in corners]
        colours.append(torch.stack(boxes).mean(dim=0))
    return torch.stack(colours)


def _shorten(source: str, target: str, seconds: float) -> None:
    import wave

    import av
    import numpy as np

    resampler = av.AudioResampler("s16", "mono", 16000)
    parts = [part.to_ndarray() for frame in av.open(source).decode(audio=0) for part in resampler.resample(frame)]
    samples = np.concatenate(parts, axis=1)[0][: int(seconds * 16000)].astype("<i2")
    with wave.open(target, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(samples.tobytes())
