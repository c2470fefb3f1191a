"""Which landmarks 3DMM Extract goes by: the face-alignment package, when it and its weights are there, or the mesh."""

from __future__ import annotations

import importlib.util
import logging

from comfy import model_management

from ..sadtalker_core.checkpoint.catalog import FACE_ALIGNMENT, find
from ..sadtalker_core.datatypes import MINI
from ..sadtalker_core.errors import CheckpointMissing
from ..sadtalker_core.face.face_alignment_points import FaceAlignmentPoints
from .load_model import model_folders
from .residency import ResidentTalker

AUTO, FACE_ALIGNMENT_PACKAGE, EMBEDDED_MESH = LANDMARKS = ["auto", "face-alignment", "embedded mesh"]


def finder_of_points(model: ResidentTalker, choice: str):
    """-> what `pipeline.extract` takes as `points`; None stands for the embedded mesh."""
    if model.family == MINI or choice == EMBEDDED_MESH:
        return None
    folders = model_folders()
    paths = [find(file.name, folders) for file in FACE_ALIGNMENT]
    together = next((folder for folder in folders if all(find(f.name, [folder]) for f in FACE_ALIGNMENT)), None)
    installed = importlib.util.find_spec("face_alignment") is not None
    if together is not None and installed:
        device = model_management.get_torch_device()
        return lambda meant: FaceAlignmentPoints(together, device, meant)
    if choice == FACE_ALIGNMENT_PACKAGE:
        lacking = [file.describe() for file, path in zip(FACE_ALIGNMENT, paths, strict=True) if path is None]
        raise CheckpointMissing(
            "landmarks: face-alignment needs the package face-alignment and its two weight files in one model folder "
            f"({', '.join(map(str, folders))}). Missing: {'; '.join(lacking) or 'the package'}. "
            "Or choose 'embedded mesh'."
        )
    logging.info("SadTalker: landmarks by the built-in face mesh, no face-alignment weights in %s.", folders)
    return None
