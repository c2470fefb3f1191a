"""Search aliases of the nodes, and inputs that the page folds away at first.

Both need a newer ComfyUI. An older one has no field for aliases and ignores `advanced`, so they are added where they
are known, after the schema that every ComfyUI takes.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from comfy_api.latest import io

#: node id -> language -> search terms; a data file, because Python source is limited to cp1252 here
ALIASES: dict[str, dict[str, list[str]]] = json.loads(
    (Path(__file__).parent / "search_aliases.json").read_text(encoding="utf-8")
)
#: node id -> inputs that few need: the page shows them on a click. Three to five widgets of a node stay visible.
FOLDED = {
    "SadTalkerPortraitFromImage": ("x", "y", "width", "height"),
    "SadTalker3DMMExtract": ("crop_offset_x", "crop_offset_y", "landmarks"),
    "SadTalkerReferenceVideo": ("face_order", "landmarks"),
    "SadTalkerExpNet": ("blink_strength", "reference_mode", "reference_length"),
    "SadTalkerPoseVAE": ("reference_mode", "reference_length"),
    "SadTalkerMappingNet": ("yaw", "pitch", "roll"),
    "SadTalkerVideoCombine": ("output_fps", "background_color"),
    "SadTalkerRenderVideo": (
        *("feather", "colour_match", "batch_size", "keep_partial", "output_fps"),
        *("background_color", "alpha_output"),
    ),
    "SadTalkerImportBlendshapes": ("fps",),
    "SadTalkerSetExpression": ("frown", "squint", "wide_eyes", "gaze_y", "wink_left", "wink_right", "jaw",
                               "lip_corner_left", "lip_corner_right", "pucker", "wandering_gaze", "micro_expressions",
                               "seed"),
    "SadTalkerDubVideo": ("face_order", "fps", "keep_partial", "output_fps", "quality", "strength", "label"),
    "SadTalkerEditPose": ("pitch_offset", "yaw_offset", "roll_offset"),
}  # fmt: skip


def easy_to_find(node: type[io.ComfyNode]) -> type[io.ComfyNode]:
    """The node itself, with search aliases and folded inputs added to what its `define_schema` returns."""
    define_schema = node.define_schema.__func__

    @functools.wraps(define_schema)
    def complete(cls: Any) -> io.Schema:
        schema = define_schema(cls)
        if "search_aliases" in io.Schema.__dataclass_fields__:
            schema.search_aliases = [word for words in ALIASES[schema.node_id].values() for word in words]
        for socket in schema.inputs:
            if socket.id in FOLDED.get(schema.node_id, ()):
                socket.extra_dict = {**socket.extra_dict, "advanced": True}
        return schema

    node.define_schema = classmethod(complete)
    return node
