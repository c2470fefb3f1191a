"""For own_model.py: a trained file through the loader and the nodes; the tracks on their wires."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "nodes", "inside"))

import graphs  # noqa: E402


def main(host, model: str, voice: str, portrait: str) -> dict:
    graph = graphs.talking(voice=voice, model=model, image=portrait, **{"expnet.blink_rate": 0.0})
    inputs = host.nodes.NODE_CLASS_MAPPINGS["SadTalkerLoadModel"].INPUT_TYPES()["required"]
    listed = model in inputs["model"][1]["options"]
    outcome = host.run(graph)
    if outcome.error:
        return {"error": outcome.error["exception_message"]}
    return {
        "error": None,
        "listed": listed,
        "expression": host.value("expnet").coefficients.tolist(),
        "pose": host.value("posevae").coefficients.tolist(),
        "n_frames": len(host.value("render")),
        "change": host.value("render").std(dim=0).max().item(),
    }
