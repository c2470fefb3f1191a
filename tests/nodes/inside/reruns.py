"""For test_reruns.py: what runs again after a change, what a seed fixes, what a stop leaves."""

import os
import sys

sys.path.insert(0, os.path.dirname(__file__))

import graphs  # noqa: E402
import torch  # noqa: E402


def main(host) -> dict:
    first = host.run(graphs.talking())
    frames, pose = host.value("render").clone(), host.value("posevae").coefficients.clone()
    other_style = host.run(graphs.talking(**{"posevae.pose_style": 9}))
    found = {
        "error": first.error,
        "first": first.executed,
        "after_another_style": other_style.executed,
        "pictures": sum(1 for node, _, _, image in first.progress if node == "render" and image),
        "n_frames": len(frames),
        "style_moves_the_head": not torch.equal(pose, host.value("posevae").coefficients),
    }

    other_seed = host.run(graphs.talking(**{"posevae.seed": 2}))
    found["seed_moves_the_head"] = not torch.equal(pose, host.value("posevae").coefficients)
    found["after_another_seed"] = other_seed.executed
    host.run(graphs.talking(**{"expnet.seed": 5}))
    host.run(graphs.talking())
    found["same_seed_same_frames"] = torch.equal(frames, host.value("render"))

    def stop(node, value, maximum):
        if node == "render" and value >= 3:
            host.interrupt()

    stopped = host.run(graphs.talking(idle_seconds=4.0), on_progress=stop)
    found["stopped"] = stopped.error and stopped.error.get("node_id")
    found["rendered_before_the_stop"] = max(v for node, v, _, _ in stopped.progress if node == "render")
    found["after_the_stop"] = host.run(graphs.talking(idle_seconds=0.6)).error
    output = os.path.join(host.base, "output", "test")
    found["unfinished_files"] = [name for name in os.listdir(output) if not name.endswith(".mp4")]
    return found
