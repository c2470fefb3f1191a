"""For test_memory.py: Face Render on a device that holds no more than two frames."""

import os
import sys

sys.path.insert(0, os.path.dirname(__file__))

import graphs  # noqa: E402
import torch  # noqa: E402


def main(host) -> dict:
    clip = host.core("render.meshwarp.compositor")._MeshClip
    paint, asked, emptied = clip.frames, [], []
    host.run(graphs.talking(0.4, **{"render.batch_size": 8}))
    want = host.value("render")

    def cramped(self, start, stop):
        asked.append(stop - start)
        if stop - start > 2:
            raise torch.OutOfMemoryError("full")
        return paint(self, start, stop)

    def broken(self, start, stop):
        asked.append(stop - start)
        raise RuntimeError("not for lack of room")

    empty = host.mm.soft_empty_cache
    host.mm.soft_empty_cache = lambda *args: emptied.append(len(asked)) or empty(*args)
    clip.frames = cramped
    run = host.run(graphs.talking(0.4, **{"render.batch_size": 7}))
    found = {
        "error": run.error,
        "asked": list(asked),
        "emptied": [at for at in emptied if 0 < at < len(asked)],
        "same_shape": host.value("render").shape == want.shape,
        "apart": float((host.value("render") - want).abs().max()),
    }
    asked.clear()
    clip.frames = broken
    found["broken"] = host.run(graphs.talking(0.4, **{"render.batch_size": 6})).error
    found["asked_of_the_broken"] = list(asked)
    return found
