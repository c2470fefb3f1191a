"""For test_weights.py: which files are offered and found in people's folders, and what travels on the model wire."""

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, os.path.dirname(__file__))

import graphs  # noqa: E402


def main(host) -> dict:
    import torch
    from comfy.cli_args import args
    from safetensors.torch import save_file

    models, load_model = Path(host.base) / "models", sys.modules[f"{host.pack.__name__}.nodes.load_model"]
    found: dict = {"offered_before": load_model.model_choices()}

    ours, theirs = models / "sadtalker", models / "SadTalker" / "checkpoints"
    for folder in (ours, theirs):
        folder.mkdir(parents=True, exist_ok=True)
    metadata = host.core("checkpoint.reading").METADATA_KEY
    save_file({"a": torch.ones(1)}, ours / "mine.safetensors", metadata={metadata: json.dumps({})})
    save_file({"model.diffusion_model.a": torch.ones(1)}, ours / "sd.safetensors")
    torch.save({"state_dict": {"face_encoder_blocks.0": torch.ones(1)}}, ours / "wav2lip.pth")
    names = [file.name for file in host.core("checkpoint.catalog").RELEASED_MODELS["SadTalker 256"].sets[0]]
    for name in names:
        (theirs / name).touch()
    host.folder_paths.add_model_folder_path("SadTalker_Checkpoints", str(models / "elsewhere"))
    load_model.register_folder()
    load_model.register_folder()
    host.folder_paths.filename_list_cache.clear()
    found["offered"] = load_model.model_choices()
    found["folders"] = [str(path.relative_to(models)) for path in load_model.model_folders()]
    node = load_model.SadTalkerLoadModel
    printed = node.fingerprint_inputs(model="SadTalker 256", precision="auto", allow_download=False)
    found["found"] = [str(Path(path).relative_to(models).as_posix()) for path, *_ in printed]

    asked = []
    load = load_model.load_model

    def listening(model, folders, **more):
        asked.append(more["use_mmap"])
        return load(model, folders, **more)

    load_model.load_model = listening
    for args.disable_mmap in (False, True):
        host.run(
            {
                "model": graphs.talking()["model"],
                "view": {"class_type": "PreviewAny", "inputs": {"source": ["model", 0]}},
            }
        )
        loaded = host.value("model")
        host.executor.reset()
    found["use_mmap"] = asked
    given = loaded.get_models()
    found["models"] = sorted(type(patcher.model).__name__ for patcher in given)
    found["patchers"] = all(hasattr(patcher, "is_clone") for patcher in given)
    missing = type(loaded)("x", "released", 256, {}, {"mapping_full": "crop modes full need it."})
    try:
        missing.bring(["mapping_full"])
    except host.core("errors").CheckpointMissing as error:
        found["lacking"] = str(error)
    return found
