"""For test_memory.py: what ComfyUI's memory management knows of our networks before, during and after."""

import gc
import os
import sys

sys.path.insert(0, os.path.dirname(__file__))

import graphs  # noqa: E402


def _loaded(host) -> list[str]:
    host.mm.cleanup_models()
    return sorted(type(model.model.model).__name__ for model in host.mm.current_loaded_models)


def main(host) -> dict:
    found = {"before": _loaded(host)}
    prompt = graphs.talking()
    found["error"] = host.run(prompt).error
    found["after_a_run"] = _loaded(host)

    host.mm.free_memory(1e30, host.mm.get_torch_device())
    found["after_another_needed_the_room"] = _loaded(host)
    found["error_again"] = host.run(graphs.talking(**{"posevae.pose_style": 7})).error
    found["after_the_second_run"] = _loaded(host)

    host.run(
        {
            "1": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 0}},
            "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
        }
    )
    gc.collect()
    host.mm.cleanup_models_gc()
    found["after_the_graph_is_gone"] = _loaded(host)
    return found
