"""3DMM Extract and 3DMM from Video: faces in, the coefficients of the face model out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from comfy import model_management
from comfy_api.latest import io
from torch import Tensor

from ..sadtalker_core import pipeline
from ..sadtalker_core.datatypes import Portrait
from ..sadtalker_core.face.crop import FIXED_RENDER
from ..sadtalker_core.face.hints import hinted_box
from ..sadtalker_core.face.points import FaceSelector, PointFinder
from ..sadtalker_core.model import choose_points
from . import video_frames, widgets, wires
from .listed import named
from .load_model import model_folders
from .progress import Progress
from .residency import ManagedModel


class SadTalker3DMMExtract(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SadTalker3DMMExtract",
            display_name="3DMM Extract",
            category=wires.CATEGORY,
            description="Finds and crops the face, and describes it by the coefficients of a 3D face model (3DMM): "
            "identity, expression, head pose.",
            inputs=[
                widgets.model(),
                wires.Portrait.Input("portrait", tooltip="From Load Portrait or Portrait from Image."),
                *map(widgets.option, ("crop_mode", "crop_scale", "crop_offset_x", "crop_offset_y", "landmarks")),
                widgets.option("render_size", optional=True),
            ],
            outputs=[
                wires.Portrait.Output(
                    "cropped_portrait", display_name="portrait", tooltip="The portrait with its face cropped."
                ),
                wires.Coefficients.Output(
                    "face_coefficients",
                    display_name="coefficients",
                    tooltip="One row of coefficients that describes the face.",
                ),
                io.Image.Output(
                    "drawn_landmarks", display_name="landmarks", tooltip="The crop with the landmarks drawn on it."
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        model: ManagedModel,
        portrait: Portrait,
        crop_mode: str,
        crop_scale: float,
        crop_offset_x: float,
        crop_offset_y: float,
        landmarks: str,
        render_size: int = FIXED_RENDER,
    ) -> io.NodeOutput:
        """render_size: the widget of a new node is 0; a stored workflow without the input keeps the fixed square"""
        points = _points(model, landmarks)
        with named(portrait.name):
            cropped, coefficients = pipeline.extract(
                model,
                portrait,
                crop_mode,
                points=points,
                crop_scale=crop_scale,
                offset=(crop_offset_x, crop_offset_y),
                render_size=render_size,
            )
        return io.NodeOutput(cropped, coefficients, pipeline.landmarks_image(cropped).unsqueeze(0))


class SadTalkerReferenceVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SadTalkerReferenceVideo",
            display_name="3DMM from Video",
            category=wires.CATEGORY,
            description="Reads head pose, blinks and expression from a video of a person, frame by frame, at 25 fps. "
            "Connect frames or a video.",
            inputs=[
                wires.Model.Input(
                    "model", tooltip="From Load SadTalker Model; the same loader as for the other stages."
                ),
                *widgets.own("ReferenceVideo"),
                widgets.option("face_index", "Which face of the first frame, counted from 0."),
                widgets.option("face_order", "Order in which the faces of the first frame are counted."),
                widgets.option("landmarks"),
                io.Image.Input("frames", optional=True, tooltip="The video as an image batch."),
                io.Video.Input("video", optional=True, tooltip="The video, from ComfyUI's Load Video."),
                *widgets.face_hints("the first frame that has any"),
            ],
            outputs=[
                wires.Coefficients.Output(
                    "reference",
                    display_name="coefficients",
                    tooltip="One row per frame at 25 fps, for a 'reference' input.",
                )
            ],
        )

    @classmethod
    def execute(
        cls,
        model: ManagedModel,
        fps: float,
        missing_face: str,
        face_index: int,
        face_order: str,
        landmarks: str,
        frames: Tensor | None = None,
        video: Any = None,
        face_landmarks: Any = None,
        bounding_box: Any = None,
    ) -> io.NodeOutput:
        clip, size_wh = video_frames.with_size(video_frames.open_clip(frames, video, fps))
        box = hinted_box(face_landmarks, bounding_box, frame=None, index=face_index, order=face_order, size_wh=size_wh)
        return io.NodeOutput(
            pipeline.extract_video(
                model,
                clip.frames,
                clip.fps,
                points=_points(model, landmarks),
                selector=FaceSelector(face_index, face_order, box),
                missing_face=missing_face,
                n_frames=clip.n_frames,
                on_progress=Progress(clip.n_frames),
            )
        )


def _points(model: ManagedModel, choice: str) -> Callable[[FaceSelector], PointFinder] | None:
    return choose_points(choice, model.family, model_folders(), model_management.get_torch_device())
