"""For test_inprocess.py: core nodes run twice, with a change in between; what ran and what was kept."""

PROMPT = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 32, "height": 16, "batch_size": 2, "color": 255}},
    "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
    "3": {"class_type": "PreviewImage", "inputs": {"images": ["2", 0]}},
}


def main(host) -> dict:
    first = host.run(PROMPT)
    again = host.run({**PROMPT, "4": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}})
    wrong = {**PROMPT, "2": {"class_type": "ImageInvert", "inputs": {}}}
    try:
        host.run(wrong)
        refused = ""
    except ValueError as error:
        refused = str(error)
    return {
        "first": first.executed,
        "again": again.executed,
        "cached": again.cached,
        "refused": refused,
        "shape": list(host.value("2").shape),
        "shown": len(first.outputs["3"]["images"]),
        "device": str(host.mm.get_torch_device()),
        "at_home": host.folder_paths.get_output_directory().startswith(host.base),
        "loaded": len(host.mm.current_loaded_models),
    }
