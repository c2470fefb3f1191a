"""For test_render_video.py: Render Video against the nodes that it stands for; stopped runs and what they leave."""

import os
import sys
from dataclasses import replace

sys.path.insert(0, os.path.dirname(__file__))

import graphs  # noqa: E402
import imageio_ffmpeg  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402


def filming(prefix="one/film", voice=None, **changes):
    """The pipeline up to the motion, 15 frames, then Render Video."""
    graph = graphs.talking(0.6)
    for node in ("render", "video"):
        del graph[node]
    inputs = {
        "model": ["model", 0], "portrait": ["extract", 0], "motion": ["mapping", 0], "paste_back": False,
        "feather": 0.1, "colour_match": 1.0, "batch_size": 2, "quality": "best", "filename_prefix": prefix,
        "keep_partial": False, **changes}  # fmt: skip
    if voice:
        graph["voice"] = {"class_type": "LoadAudio", "inputs": {"audio": voice}}
        inputs["audio"] = ["voice", 0]
    graph["film"] = {"class_type": "SadTalkerRenderVideo", "inputs": inputs}
    return graph


def pixels(path: str) -> np.ndarray:
    """(T, H, W, 3) bytes of a video file."""
    reader = imageio_ffmpeg.read_frames(path)
    width, height = next(reader)["size"]
    return np.stack([np.frombuffer(frame, np.uint8).reshape(height, width, 3) for frame in reader])


def alpha_of_two(host) -> list:
    """Size and smallest value of the alpha that is asked for, of one person who is cut out beside one who is not."""
    from comfy_execution.utils import CurrentNodeContext

    opaque, motion = host.value("extract"), host.value("mapping")[:2]
    cut_out = replace(opaque, mask=torch.ones(opaque.image.shape[:2]))
    with CurrentNodeContext("two", "two"):
        made = host.nodes.NODE_CLASS_MAPPINGS["SadTalkerRenderVideo"].execute(
            host.value("model"), cut_out, motion, paste_back=False, feather=0.1, colour_match=1.0, batch_size=2,
            quality="draft", filename_prefix="two/film", keep_partial=False,
            other_portrait=opaque, other_motion=motion, alpha_output=True,
        )  # fmt: skip
    return [len(made.args[1]), float(made.args[1].min())]


def main(host) -> dict:
    output = os.path.join(host.base, "output")

    def path_of(shown: dict) -> str:
        return os.path.join(output, shown["subfolder"], shown["filename"])

    def left(folder: str) -> list[str]:
        return sorted(os.listdir(os.path.join(output, folder)))

    apart = host.run(graphs.talking(0.6, **{"video.output_fps": 30.0}))
    at_30 = pixels(path_of(apart.outputs["video"]["images"][0]))
    heads = (host.value("render") * 255).round().byte().numpy()
    alone = host.run(filming())
    video = pixels(path_of(alone.outputs["film"]["images"][0]))
    on_the_wire = list(host.value("film").get_dimensions()) == [video.shape[2], video.shape[1]]
    same = video[:, : heads.shape[1], : heads.shape[2]].astype(int)  # an odd side was made even
    found = {
        "error": apart.error or alone.error,
        "n_frames": len(heads),
        "n_filmed": len(video),
        "n_at_30": len(at_30),
        "difference": float(np.abs(same - heads).mean()),
        "on_the_wire": on_the_wire,
        "pictures": sum(1 for node, _, _, image in alone.progress if node == "film" and image),
        "files": left("one"),
    }

    graph = filming("pasted/film", voice="hello.flac", paste_back=True)
    pasted = host.run(graph)
    seen = pixels(path_of(pasted.outputs["film"]["images"][0]))
    image, box = host.value("extract").image, host.value("extract").crop.box
    outside = torch.ones(image.shape[:2], dtype=torch.bool)
    outside[max(box.y - 8, 0) : box.bottom + 8, max(box.x - 8, 0) : box.right + 8] = False
    moved = np.abs(seen.astype(int) - (image * 255).round().byte().numpy().astype(int))
    found |= {
        "pasted_error": pasted.error,
        "pasted_frames": len(seen),
        "pasted_size": list(seen.shape[1:3]) == list(image.shape[:2]),
        "outside": float(moved[:, outside.numpy()].mean()) if outside.any() else 0.0,
        "file": path_of(pasted.outputs["film"]["images"][0]),
    }

    def stop(node, value, maximum):
        if node == "film" and value >= 4:
            host.interrupt()

    stopped = host.run(filming("stopped/film"), on_progress=stop)
    found |= {"stopped_at": stopped.error and stopped.error.get("node_id"), "left_without_wish": left("stopped")}
    host.run(filming("kept/film", keep_partial=True), on_progress=stop)
    found["left_with_wish"] = left("kept")
    found["partial_frames"] = [len(pixels(os.path.join(output, "kept", name))) for name in left("kept")]
    finished = host.run(filming("kept/film", keep_partial=True, output_fps=50.0))
    found |= {"after_the_stop": finished.error, "left_in_the_end": left("kept")}
    found["n_at_50"] = len(pixels(path_of(finished.outputs["film"]["images"][0])))

    found["alpha_of_two"] = alpha_of_two(host)

    os.environ["SADTALKER_SIGN_CERTIFICATES"] = os.path.join(host.base, "chain.pem")
    half = host.run(filming("signed/film"))
    os.environ["SADTALKER_SIGN_KEY"] = os.path.join(host.base, "key.pem")
    unsigned = host.run(filming("signed/film"))
    found["not_signed"] = [run.error["exception_message"] for run in (half, unsigned)]
    found["left_unsigned"] = left("signed")
    return found
