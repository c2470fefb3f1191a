"""For test_second_device.py: every node of the pack on a pretend device, which ComfyUI takes for its GPU."""

import gc
import os
import sys
from pathlib import Path

sys.path.insert(0, os.path.dirname(__file__))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import graphs  # noqa: E402
import torch  # noqa: E402
from second_device import DEVICE, memory, second_device  # noqa: E402


def take_for_the_gpu(mm, *, gpu_only: bool) -> None:
    """ComfyUI's memory management asks the pretend device, and keeps networks and images where a GPU would."""
    total, free = mm.get_total_memory, mm.get_free_memory

    def answer(ask, number):
        def get(dev=None, *given, **more):
            if (dev or DEVICE).type != DEVICE.type:
                return ask(dev, *given, **more)
            both = given[0] if given else any(more.values())
            return (number(), number()) if both else number()

        return get

    mm.cpu_state = mm.CPUState.GPU
    mm.vram_state = mm.VRAMState.HIGH_VRAM if gpu_only else mm.VRAMState.NORMAL_VRAM
    mm.get_torch_device = lambda: DEVICE
    mm.get_total_memory = answer(total, lambda: memory.capacity)
    mm.get_free_memory = answer(free, lambda: memory.free)
    mm.soft_empty_cache = lambda *args: None
    mm.should_use_fp16 = mm.should_use_bf16 = lambda device=None, *args, **more: device is None or device.type != "cpu"
    if gpu_only:
        mm.intermediate_device = lambda: DEVICE


def every_node(model: str, precision: str, crop_mode: str) -> dict:
    """0.2 s of talk in which each node has its place."""
    graph = graphs.talking(
        voice="short.wav", model=model, crop_mode=crop_mode,
        **{"model.precision": precision, "render.batch_size": 2, "video.filename_prefix": "second/talk"},
    )  # fmt: skip
    image = {"face_index": 0, "face_order": "largest"}
    paste = {"portrait": ["extract", 0], "feather": 0.1, "colour_match": 1.0}
    more = {
        "same": ("SadTalkerPortraitFromImage", {
            "image": ["portrait", 1], **image, "batch_index": 0, "x": 0, "y": 0, "width": 0, "height": 0}),
        "copies": ("RepeatImageBatch", {"image": ["portrait", 1], "amount": 3}),
        "reference": ("SadTalkerReferenceVideo", {
            "model": ["model", 0], "fps": 25.0, "missing_face": "hold", **image, "landmarks": "embedded mesh",
            "frames": ["copies", 0]}),
        "edit_expression": ("SadTalkerEditExpression", {
            "expression": ["expnet", 0], "overall": 0.9, "mouth": 1.0, "eyes": 1.0, "brows": 1.0, "smoothing": 0}),
        "edit_pose": ("SadTalkerEditPose", {
            "pose": ["posevae", 0], "pitch_scale": 1.0, "yaw_scale": 1.5, "roll_scale": 1.0, "translation_scale": 1.0,
            "pitch_offset": 0.0, "yaw_offset": 5.0, "roll_offset": 0.0, "smoothing": 0}),
        "set": ("SadTalkerSetExpression", {
            "expression": ["edit_expression", 0], "squint": "0:0, 0.1:0.3", "speech": ["speech", 0],
            "model": ["model", 0]}),
        "gate": ("SadTalkerSilenceGate", {
            "expression": ["set", 0], "speech": ["speech", 0], "coefficients": ["extract", 1],
            "threshold": -30.0, "attack": 0.08, "release": 0.2, "strength": 1.0}),
        "blend": ("SadTalkerBlendTracks", {
            "mode": "blend", "weight": 0.5, "crossfade": 4, "expression": ["expnet", 0],
            "other_expression": ["gate", 0], "pose": ["posevae", 0], "other_pose": ["edit_pose", 0]}),
        "resize": ("SadTalkerResizeTrack", {
            "frames": 5, "method": "stretch", "crossfade": 0, "expression": ["blend", 0], "pose": ["blend", 1]}),
        "save": ("SadTalkerSaveTrack", {
            "filename_prefix": "second/track", "expression": ["resize", 0], "pose": ["resize", 1]}),
        "plot": ("SadTalkerMotionPlot", {
            "width": 320, "height": 240, "speech": ["speech", 0], "expression": ["resize", 0], "pose": ["resize", 1]}),
        "preview": ("SadTalkerMotionPreview", {
            "model": ["model", 0], "portrait": ["extract", 0], "motion": ["mapping", 0], "size": 96,
            "over_portrait": True}),
        "paste": ("SadTalkerPasteBack", {**paste, "frames": ["render", 0]}),
        "again": ("SadTalkerPasteBack", {**paste, "frames": ["render", 0], "background": ["paste", 0],
                                         "mask": ["paste", 1]}),
        "label": ("SadTalkerVisibleLabel", {
            "frames": ["again", 0], "text": "AI", "corner": "top left", "size": 0.1, "opacity": 1.0}),
        "split": ("SadTalkerSplitSpeakers", {"audio": ["voice", 0], "lines": "0-1 anna", "speakers": ""}),
        "other_speech": ("SadTalkerAudioEncode", {"idle_seconds": 0.0, "audio": ["split", 0]}),
        "other": ("SadTalker3DMMExtract", {**graph["extract"]["inputs"], "crop_offset_x": 0.2}),
        "look": ("SadTalkerLookAtSpeaker", {
            "portrait": ["extract", 0], "speech": ["speech", 0], "other_portrait": ["other", 0],
            "other_speech": ["other_speech", 0], "amount": 1.0, "expression": ["expnet", 0], "pose": ["posevae", 0]}),
        "save_looking": ("SadTalkerSaveTrack", {"filename_prefix": "second/look", "expression": ["look", 0]}),
        "film": ("SadTalkerRenderVideo", {
            "model": ["model", 0], **paste, "motion": ["mapping", 0], "paste_back": True, "batch_size": 2,
            "quality": "draft", "filename_prefix": "second/film", "keep_partial": False, "mask": ["paste", 1],
            "audio": ["voice", 0]}),
        "dub": ("SadTalkerDubVideo", {
            "model": ["model", 0], "length": "cut", "strength": 1.0, "keep_mouth": 0.0, "original_volume": 0.0,
            "face_index": 0, "face_order": "largest", "quality": "draft", "fps": 25.0,
            "filename_prefix": "second/dubbed", "keep_partial": False, "frames": ["copies", 0],
            "audio": ["voice", 0]}),
        "show": ("PreviewImage", {"images": ["plot", 0]}),
        "show_preview": ("PreviewImage", {"images": ["preview", 0]}),
        "show_drawn": ("PreviewImage", {"images": ["extract", 2]}),
    }  # fmt: skip
    graph.update({node: {"class_type": kind, "inputs": inputs} for node, (kind, inputs) in more.items()})
    graph["extract"]["inputs"]["portrait"] = ["same", 0]
    graph["mapping"]["inputs"].update(expression=["resize", 0], pose=["resize", 1])
    graph["posevae"]["inputs"]["reference"] = ["reference", 0]
    graph["video"]["inputs"]["frames"] = ["label", 0]
    return graph


SEEN = ("render", "paste", "label", "preview", "plot")


def loaded_on_the_device(host) -> list[str]:
    host.mm.cleanup_models()
    return sorted(type(model.model.model).__name__ for model in host.mm.current_loaded_models if model.device == DEVICE)


def main(host, cases, gpu_only=False) -> dict:
    seen = {}
    for case in cases:
        seen[str(case)] = [host.run(every_node(case[0], "fp32", case[2])).error, *images(host)]
    track = "second/track_00001_.track.safetensors [output]"
    with open(os.path.join(host.base, "input", "mouths.tsv"), "w") as file:
        file.write("0.00\tX\n0.10\tD\n")
    load = {"load": {"class_type": "SadTalkerLoadTrack", "inputs": {"track": track}},
            "export": {"class_type": "SadTalkerExportBlendshapes", "inputs": {
                "expression": ["load", 0], "pose": ["load", 1], "format": "JSON, VRM 1.0 names", "fps": 30.0,
                "filename_prefix": "second/face"}},
            "import": {"class_type": "SadTalkerImportBlendshapes", "inputs": {
                "file": "mouths.tsv", "fps": 0.0, "expression": ["load", 0]}},
            "save_imported": {"class_type": "SadTalkerSaveTrack", "inputs": {
                "filename_prefix": "second/imported", "expression": ["import", 0]}},
            "save": {"class_type": "SadTalkerSaveTrack", "inputs": {
                "filename_prefix": "second/again", "expression": ["load", 0], "pose": ["load", 1]}}}  # fmt: skip
    host.executor.reset()
    take_for_the_gpu(host.mm, gpu_only=gpu_only)
    used = [*every_node("mini", "fp32", "crop").values(), *load.values()]
    found = {"gpu_only": gpu_only, "classes": sorted({node["class_type"] for node in used}), "cases": []}
    with second_device():
        for case in cases:
            memory.peak = memory.used
            graph = every_node(*case)
            error = host.run(graph).error
            cpu_error, *want = seen[str(case)]
            got = images(host) if error is None else []
            apart = {
                name: [float((a - b).abs().max()), float((a - b).abs().mean())]
                for name, a, b in zip(SEEN, got, want, strict=error is None)
            }
            found["cases"].append(
                {
                    "case": case,
                    "error": error,
                    "cpu_error": cpu_error,
                    "peak": memory.peak,
                    "loaded": loaded_on_the_device(host),
                    "shown": [str(host.value(name).device) for name in SEEN] if error is None else [],
                    "kept": memory.used,
                    "apart": apart,
                }
            )
            if error:
                return found
        before = memory.used
        host.mm.free_memory(1e30, DEVICE)
        found["freed"] = [before, memory.used]
        graph["posevae"]["inputs"]["pose_style"] = 7
        found["again"] = [host.run(graph).error, loaded_on_the_device(host)]
        # room for what ComfyUI keeps free beside a few megabytes: each stage has to send the one before away
        memory.capacity = int(host.mm.minimum_inference_memory()) + (8 << 20)
        graph["posevae"]["inputs"]["pose_style"] = 8
        found["pressed"] = [host.run(graph).error, loaded_on_the_device(host)]
        found["track"] = host.run(load).error
        host.executor.reset()
        del graph
        gc.collect()
        host.mm.cleanup_models_gc()
        host.mm.cleanup_models()
        gc.collect()
        found["left"] = memory.used
    return found


def images(host) -> list[torch.Tensor]:
    values = (host.value(name) for name in SEEN)
    return [value.cpu().clone() for value in values if value is not None]
