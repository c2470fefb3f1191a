"""For test_files.py: the names of written files, what is refused before the work, odd sides, an encoder that hangs."""

import errno
import os
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(__file__))

import graphs  # noqa: E402
from PIL import Image  # noqa: E402


def main(host) -> dict:
    output = os.path.join(host.base, "output")
    found: dict = {"names": {}, "refused": {}}

    def files() -> dict:
        return {
            os.path.relpath(os.path.join(folder, name), output).replace(os.sep, "/"): os.stat(
                os.path.join(folder, name)
            ).st_mtime_ns
            for folder, _, names in os.walk(output)
            for name in names
        }

    def written(prefix, **changes) -> list[str]:
        before = files()
        outcome = host.run(graphs.talking(0.12, **{"video.filename_prefix": prefix, **changes}))
        assert not outcome.error, outcome.error
        assert not [name for name, when in before.items() if files()[name] != when], "an older file was written to"
        return sorted(set(files()) - set(before))

    for prefix in ("slash/", "", "x/..", "back\\slash", "a:b", "%date:yyyy%_%SadTalkerPoseVAE.pose_style%_%width%"):
        found["names"][prefix] = [written(prefix, **{"video.quality": quality}) for quality in ("draft", "high")]

    def sentence(prompt) -> tuple[str, bool]:
        """What was said, and whether anything ran before."""
        try:
            refused = host.run(prompt)
        except ValueError as error:
            return str(error), False
        return refused.error["exception_message"], True

    save = {"class_type": "SadTalkerSaveTrack", "inputs": {"filename_prefix": "t/t", "pose": ["posevae", 0]}}
    for case, prefix in {"long": "n" * 300, "outside": "../x", "nul": "a\0b"}.items():
        found["refused"][case] = sentence(graphs.talking(0.12, **{"video.filename_prefix": prefix}))
        graph = graphs.talking(0.12) | {"save": save | {"inputs": save["inputs"] | {"filename_prefix": prefix}}}
        del graph["video"], graph["render"]
        found["refused"][f"track, {case}"] = sentence(graph)

    graph = {"save": save | {"inputs": save["inputs"] | {"filename_prefix": "n" * 218}}}
    found["refused"]["track, by its parts"] = sentence(
        graph | {k: v for k, v in graphs.talking(0.12).items() if k not in ("video", "render")}
    )

    claims = host.core("claims")
    make_lock = claims.make_lock

    def read_only(*_):
        raise OSError(errno.EROFS, "Read-only file system")

    claims.make_lock = read_only
    tracks = {"save": save} | {k: v for k, v in graphs.talking(0.16).items() if k not in ("video", "render")}
    found["read-only track"] = sentence(tracks)[0]
    found["read-only video"] = sentence(graphs.talking(0.16))[0]
    claims.make_lock = make_lock

    inputs = os.path.join(host.base, "input")
    Image.open(os.path.join(inputs, "astronaut.png")).convert("RGB").resize((384, 512)).save(
        os.path.join(inputs, "tall.png")
    )
    graph = graphs.talking(0.12, image="tall.png", crop_mode="resize")
    graph["video"] = {"class_type": "CreateVideo", "inputs": {"images": ["render", 0], "fps": 25.0}}
    graph["core"] = {
        "class_type": "SaveVideo",
        "inputs": {"video": ["video", 0], "filename_prefix": "core/a", "format": "auto", "codec": "auto"},
    }
    graph["pasted"] = {
        "class_type": "SadTalkerPasteBack",
        "inputs": {"frames": ["render", 0], "portrait": ["extract", 0], "feather": 0.1, "colour_match": 1.0},
    }
    graph["show"] = {"class_type": "PreviewImage", "inputs": {"images": ["pasted", 0]}}
    outcome = host.run(graph)
    crop = host.value("extract").crop
    found["odd"] = [outcome.error, list(crop.frame_hw), list(host.value("render").shape)]
    from_the_box = host.core("compose.paste").PasteBack(host.value("extract"), blend="multiband")
    frames = host.value("render")[:, : crop.frame_hw[0]].permute(0, 3, 1, 2)
    apart = from_the_box(frames).permute(0, 2, 3, 1) - host.value("pasted")
    found["pasted as without the row"] = float(apart.abs().max())

    hanging = os.path.join(host.base, "hanging.sh")
    with open(hanging, "w", encoding="utf-8") as script:
        script.write("#!/bin/sh\nexec sleep 600\n")
    os.chmod(hanging, 0o755)
    os.environ["IMAGEIO_FFMPEG_EXE"] = hanging
    pressed = []

    def press():
        pressed.append(time.monotonic())
        host.interrupt()

    def begun(node, value, maximum):
        if node == "render" and value == maximum:
            threading.Timer(1.0, press).start()

    before = files()
    stopped = host.run(graphs.talking(0.4), on_progress=begun)
    found["hanging"] = [
        stopped.error and stopped.error.get("node_id"),
        time.monotonic() - pressed[0],
        sorted(set(files()) - set(before)),
    ]
    os.environ["IMAGEIO_FFMPEG_EXE"] = os.path.join(host.base, "nowhere")
    found["wrong ffmpeg"] = sentence(graphs.talking(0.2))[0]
    return found
