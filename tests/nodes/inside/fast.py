"""For test_fast.py: a small released generator of ComfyUI's layers goes through the door of the memory management."""

import sys

import torch


def main(host) -> dict:
    import comfy.ops

    core = host.core
    residency = sys.modules[f"{host.pack.__name__}.nodes.residency"]
    motion = core("render.facevid2vid.dense_motion").DenseMotionConfig(
        n_keypoints=3, depth=4, features=4, compact=2, width=4, widest=8, levels=2
    )
    drawn = core("render.facevid2vid.generator")
    config = drawn.GeneratorConfig(width=4, volume_blocks=1, middle_blocks=1, modulation=4, motion=motion)
    torch.manual_seed(0)
    plain = drawn.Generator(config).eval().requires_grad_(False)
    cast = drawn.Generator(config, ops=comfy.ops.manual_cast).eval().requires_grad_(False)
    cast.load_state_dict(plain.state_dict())
    loaded = core("model").SadTalkerModel("tiny", core("families").FAMILIES["released"], 32, {"generator": cast})

    image, source, driving = torch.rand(1, 3, 32, 32), torch.rand(1, 3, 3), torch.rand(1, 3, 3)
    want = plain(image, source, driving).image
    found = {}
    for precision in core("options").PRECISIONS:
        with torch.inference_mode():
            resident = residency.wrap_in_patchers(loaded, precision)
            (net,) = resident.bring(["generator"], working_bytes=1)
            got = net.warp_and_decode(net.encode_source(image, source), driving).image.float()
        found[precision] = {
            "class": type(net).__name__,
            "apart": float((got - want).abs().max()),
            "accounted": resident.patchers["generator"].model_size(),
            "bytes": sum(tensor.nbytes for tensor in net.state_dict().values()),
            "loaded": [type(model.model.model).__name__ for model in host.mm.current_loaded_models],
        }
        host.mm.free_memory(1e30, host.mm.get_torch_device())
    return found
