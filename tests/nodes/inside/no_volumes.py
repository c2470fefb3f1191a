"""For test_fast.py: where the networks go on a device that lacks an operation of the renderer."""

import logging
import sys

import torch


def main(host) -> dict:
    residency = sys.modules[f"{host.pack.__name__}.nodes.residency"]
    mini = host.core("model").load_model("mini", [])
    small = torch.nn.Identity()
    released = host.core("model").SadTalkerModel(
        "small",
        host.core("families").FAMILIES["released"],
        256,
        dict.fromkeys(("face_detector", "face_recon", "mapping", "keypoint_detector"), small),
    )
    messages = []

    class Handler(logging.Handler):
        def emit(self, record):
            messages.append(record.getMessage())

    handler = Handler()
    logging.getLogger().addHandler(handler)
    logging.getLogger().setLevel(logging.INFO)  # as the server has it
    residency.model_management.get_torch_device = lambda: torch.device("mps")
    found = {}
    for can in (True, False):
        host.core("device").can_render_on = lambda device, can=can: can
        messages.clear()
        homes = {}
        for model in (mini, released):
            patchers = residency.wrap_in_patchers(model, "auto" if not can else "fp32").patchers
            homes.update({name: patcher.load_device.type for name, patcher in patchers.items()})
        found["able" if can else "lacking"] = {"homes": homes, "said": list(messages)}
    return found
