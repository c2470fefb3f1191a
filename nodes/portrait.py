"""Load Portrait and Portrait from Image: an image in, the record of whose face to animate out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import folder_paths
import torch
from comfy_api.latest import io
from torch import Tensor

import nodes as core_nodes

from ..sadtalker_core.errors import shorten
from ..sadtalker_core.face.image_file import read_image
from ..sadtalker_core.face.portrait import portrait_from_image
from . import widgets, wires
from .listed import named


def _outputs() -> list[io.Output]:
    return [
        wires.Portrait.Output(
            "chosen_portrait", display_name="portrait", tooltip="The image, and which face to animate."
        ),
        io.Image.Output("picture", display_name="image", tooltip="The image itself, for other nodes."),
        io.Mask.Output(
            "alpha", display_name="mask", tooltip="1 where the image is transparent, as in ComfyUI's Load Image."
        ),
    ]


class SadTalkerLoadPortrait(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        folder_paths.get_input_directory()
        return io.Schema(
            node_id="SadTalkerLoadPortrait",
            display_name="Load Portrait",
            category=wires.CATEGORY,
            description="Loads an image of a person and selects the face to animate.",
            inputs=[
                io.Combo.Input(
                    "image",
                    options=_images(),
                    upload=io.UploadType.image,
                    image_folder=io.FolderType.input,
                    tooltip="The portrait. Faces that look at the camera work best, 256 pixels or larger.",
                ),
                *map(widgets.option, ("face_index", "face_order")),
            ],
            outputs=_outputs(),
        )

    @classmethod
    def execute(cls, image: str, face_index: int, face_order: str) -> io.NodeOutput:
        with named(image):
            pixels = read_image(folder_paths.get_annotated_filepath(image), f"the portrait '{shorten(image, 100)}'")
            portrait = portrait_from_image(pixels, face_index=face_index, face_order=face_order, name=image)
        # core's Load Image gives an empty mask of this size, too, where nothing is transparent
        mask = torch.zeros(64, 64) if portrait.mask is None else portrait.mask
        return io.NodeOutput(portrait, portrait.image.unsqueeze(0), mask.unsqueeze(0))

    @classmethod
    def fingerprint_inputs(cls, image: str, face_index: int, face_order: str) -> Any:
        return core_nodes.LoadImage.IS_CHANGED(image)

    @classmethod
    def validate_inputs(cls, image: str) -> str | bool:
        if not folder_paths.exists_annotated_filepath(image):
            return f"the portrait '{shorten(image)}' is not in ComfyUI's input folder; upload it, or choose another."
        return True


def _images() -> list[str]:
    files = [file.name for file in Path(folder_paths.get_input_directory()).iterdir() if file.is_file()]
    return sorted(folder_paths.filter_files_content_types(files, ["image"]))


class SadTalkerPortraitFromImage(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SadTalkerPortraitFromImage",
            display_name="Portrait from Image",
            category=wires.CATEGORY,
            description="Makes a portrait from another node's image. The face is detected, or selected by a MASK or a"
            " box (for drawings that the face detector does not recognise).",
            inputs=[
                io.Image.Input("image", tooltip="One image, or a batch from which batch_index selects one."),
                *map(widgets.option, ("face_index", "face_order")),
                *widgets.own("PortraitFromImage"),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="Paint over the face to animate; the bounding box of the mask is used.",
                ),
                *widgets.face_hints("the selected image"),
                io.Mask.Input(
                    "person_mask",
                    optional=True,
                    tooltip="1 where the person is, as nodes that remove backgrounds give it: the rest becomes "
                    "transparent. Load Image's mask is the other way round; put Invert Mask between.",
                ),
            ],
            outputs=_outputs(),
        )

    @classmethod
    def execute(
        cls,
        image: Tensor,
        face_index: int,
        face_order: str,
        batch_index: int,
        x: int,
        y: int,
        width: int,
        height: int,
        mask: Tensor | None = None,
        face_landmarks: Any = None,
        bounding_box: Any = None,
        person_mask: Tensor | None = None,
    ) -> io.NodeOutput:
        with named():
            portrait = portrait_from_image(
                image,
                person_mask=person_mask,
                batch_index=batch_index,
                face_index=face_index,
                face_order=face_order,
                box=(x, y, width, height),
                face_mask=mask,
                face_landmarks=face_landmarks,
                bounding_box=bounding_box,
            )
        return io.NodeOutput(portrait, portrait.image.unsqueeze(0), portrait.mask_or_zeros().unsqueeze(0))
