"""For the trial of the built-in model: portraits through the eight nodes of a real ComfyUI, frames out to a file each.

Three takes of every portrait: a reading (the whole graph, with its video file), a still and idle clip, and faces that
are commanded: tracks of one frame, which MappingNet sees as held, so a shape is judged as it is when it has arrived.
"""

import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "..", "nodes", "inside"))

import graphs  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402

#: parts of a pixel by which the portrait is moved, and frames that are pasted back
STEPS, PASTED = 8, 6


def main(host, takes: list, visemes: dict, turn: float, look: float, still_frames: int) -> dict:
    """takes: {portrait, voice, out, recipe}: files in input/, the .npz to write, and a line to write into it.
    -> portrait -> what went wrong, or None
    """
    return {take["portrait"]: _video(host, take, visemes, turn, look, still_frames) for take in takes}


def _video(host, take, visemes, turn, look, still_frames):
    print("filming", take["portrait"], flush=True)
    image = {"image": take["portrait"], "extract.render_size": 0}
    outcome = host.run(graphs.talking(voice=take["voice"], **image))
    if outcome.error:
        return outcome.error["exception_message"]
    model, portrait, coefficients = host.value("model"), host.value("extract"), host.value("extract", 1)
    spoken = {name: host.value(name) for name in ("render", "mapping", "expnet", "posevae")}
    video = outcome.outputs["video"]["images"][0]
    file = os.path.join(host.base, "output", video["subfolder"], video["filename"])
    shutil.copy(file, os.path.splitext(take["out"])[0] + ".mp4")

    idle = {"expnet.blink": "off", "mapping.still": True}
    outcome = host.run(graphs.talking(idle_seconds=still_frames / 25, **image, **idle))
    if outcome.error:
        return outcome.error["exception_message"]
    still = host.value("render")

    names, motion = _commanded(host, model, coefficients, visemes, turn, look)
    frames = host.nodes.NODE_CLASS_MAPPINGS["SadTalkerFaceRender"].execute(model, portrait, motion, 0).result[0]
    crop = portrait.require_crop()
    between = host.nodes.NODE_CLASS_MAPPINGS["SadTalkerFaceRender"].execute(
        model, portrait, _between_pixels(host, motion, crop.pic_size), 0
    )
    paste = host.core("pipeline").make_paste_back(portrait)
    box, heads = crop.box, spoken["render"][:: max(len(spoken["render"]) // PASTED, 1)]
    pasted = torch.cat([paste(head[None]) for head in heads.permute(0, 3, 1, 2)])
    whole = portrait.image[box.y : box.bottom, box.x : box.right]
    source = host.core("render.frames").to_box_aspect(crop.image[None], crop.box)[0].permute(1, 2, 0)  # as frames are
    height = len(source)  # Face Render repeats the last row of an odd one
    stretch = torch.tensor([source.shape[1], source.shape[0]]) / crop.pic_size
    np.savez(
        take["out"] + ".part.npz",
        recipe=np.array(take["recipe"]),
        source=_bytes(source),
        landmarks=(crop.landmarks[:, :2] * stretch).numpy(),
        mesh=crop.landmarks.numpy(),
        side=np.array(crop.pic_size),
        spoken=_bytes(spoken["render"][:, :height]),
        said=spoken["expnet"].coefficients.numpy(),
        offsets=spoken["mapping"].driving.weights.numpy(),
        own=spoken["mapping"].source.weights.numpy(),
        still=_bytes(still[:, :height]),
        names=np.array(names),
        commanded=_bytes(frames[:, :height]),
        moved=torch.stack(
            [points * stretch for points in host.core("render.preview").moved_mesh(crop, spoken["mapping"])]
        ).numpy(),
        between=_bytes(between.result[0][:, :height]),
        pasted=_bytes(pasted[:, :, box.y : box.bottom, box.x : box.right].permute(0, 2, 3, 1)),
        whole=_bytes(whole),
        orders=motion.driving.weights.numpy(),
    )
    os.replace(take["out"] + ".part.npz", take["out"])
    return None


def _between_pixels(host, motion, side):
    """The portrait at rest, moved right and down by eighths of a pixel, and right alone."""
    types, source = host.core("datatypes"), motion.source
    eighths = torch.arange(1, STEPS) / STEPS
    shifts = torch.cat([torch.stack([eighths, down * eighths], -1) for down in (0, 1)]) * (2 / side)
    n = len(shifts)
    held = [part.expand(n, *part.shape[1:]).clone() for part in (source.yaw, source.pitch, source.roll)]
    place = source.translation.float().expand(n, -1).clone()
    place[:, :2] += shifts
    weights = source.weights.expand(n, -1).clone()
    return types.Motion(types.BlendshapeMotion(*held, place, weights), source)


def _commanded(host, model, coefficients, visemes, turn, look):
    """-> names and the Motion of all of them, one row each: neutral, the visemes, blink, looks to both sides, and turns
    from the portrait's own pose by the node's yaw and pitch inputs, which take absolute angles.
    """
    types = host.core("datatypes")
    own = coefficients.expression[0]
    kept = own * host.core("motion.spoken").kept_share()
    blink = host.core("training.heads.expressions").weights_of(eyeBlink=1.0)
    weights_of = host.core("training.heads.expressions").weights_of
    faces = {"neutral": (own, {})}
    for name, units in visemes.items():
        faces[name] = (kept + _wide(weights_of(**units)), {})
    faces["blink"] = (own + _wide(blink), {})
    for degrees in (-look, look):
        aside = host.core("canonical_face").gaze_weights(torch.tensor([degrees]), torch.zeros(1))[0]
        faces[f"look {degrees:+g}"] = (own + aside, {})
    for axis in ("yaw", "pitch"):
        for degrees in (-turn, 0.0, turn):
            faces[f"{axis} {degrees:+g}"] = (own, {axis: degrees})
    mapping = host.nodes.NODE_CLASS_MAPPINGS["SadTalkerMappingNet"]
    motions = []
    for expression, written in faces.values():
        track = types.Expression(expression[None], coefficients.family)
        pose = types.HeadPose(coefficients.pose[:1], coefficients.family)
        held = motions[0].source if motions else None  # how MappingNet reads the portrait
        angles = {"yaw": "", "pitch": "", "roll": ""}
        angles |= {axis: str(float(getattr(held, axis)[0]) + degrees) for axis, degrees in written.items()}
        motions.append(mapping.execute(model, coefficients, track, pose, 1.0, 1.0, 1.0, 1.0, True, **angles).result[0])
    parts = ("yaw", "pitch", "roll", "translation", "weights")
    rows = types.BlendshapeMotion(*(torch.cat([getattr(m.driving, part) for m in motions]) for part in parts))
    return list(faces), types.Motion(rows, motions[0].source)


def _wide(weights):
    return torch.nn.functional.pad(torch.from_numpy(weights), (0, 64 - len(weights)))


def _bytes(images):
    return (images.clamp(0, 1) * 255).round().to(torch.uint8).numpy()
