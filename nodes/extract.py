"""3DMM Extract and 3DMM from Video: faces in, the coefficients of the face model out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from comfy import model_management
from comfy_api.latest import io
from torch import Tensor

from ..sadtalker_core import pipeline
from ..sadtalker_core.datatypes import CropMode, Portrait
from ..sadtalker_core.face.landmarks import FACE_ORDERS
from ..sadtalker_core.face.points import FaceSelector, PointFinder
from ..sadtalker_core.face.reference_video import MissingFace
from ..sadtalker_core.model import LANDMARKS, choose_points
from . import video_frames, wires
from .listed import named
from .load_model import model_folders
from .progress import Progress
from .residency import ManagedModel

_LANDMARK_INPUT = dict(
    options=list(LANDMARKS),
    default="auto",
    tooltip="auto: the face-alignment package when its two weight files are in models/sadtalker, else the built-in "
    "face mesh. The mini model always uses the built-in mesh.",
)


class SadTalker3DMMExtract(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SadTalker3DMMExtract",
            display_name="3DMM Extract",
            category=wires.CATEGORY,
            description="Finds the face, cuts it out and describes it by the coefficients of a 3-D face model: "
            "identity, expression, head pose.",
            inputs=[
                wires.Model.Input("model", tooltip="From Load SadTalker Model."),
                wires.Portrait.Input("portrait", tooltip="From Load Portrait or Portrait from Image."),
                io.Combo.Input(
                    "crop_mode",
                    options=CropMode,
                    default=CropMode.CROP,
                    tooltip="crop: the head alone. extcrop: with more around it. resize: the whole picture is the "
                    "face. full, extfull: the head, meant for Paste Back into the whole picture.",
                ),
                io.Float.Input(
                    "crop_scale",
                    default=1.0,
                    min=0.5,
                    max=3.0,
                    step=0.05,
                    tooltip="Makes the box around the head larger (hair, chin) or smaller.",
                ),
                io.Float.Input(
                    "crop_offset_x",
                    default=0.0,
                    min=-1.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Moves the box to the right, as a part of its width.",
                ),
                io.Float.Input(
                    "crop_offset_y",
                    default=0.0,
                    min=-1.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Moves the box down, as a part of its height.",
                ),
                io.Combo.Input("landmarks", **_LANDMARK_INPUT),
            ],
            outputs=[
                wires.Portrait.Output(
                    "cropped_portrait", display_name="portrait", tooltip="The portrait with its face cut out."
                ),
                wires.Coefficients.Output(
                    "face_coefficients", display_name="coefficients", tooltip="The face in one row of coefficients."
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
    ) -> io.NodeOutput:
        points = _points(model, landmarks)
        with named(portrait.name):
            cropped, coefficients = pipeline.extract(
                model,
                portrait,
                crop_mode,
                points=points,
                crop_scale=crop_scale,
                offset=(crop_offset_x, crop_offset_y),
            )
        return io.NodeOutput(cropped, coefficients, pipeline.landmarks_picture(cropped).unsqueeze(0))


class SadTalkerReferenceVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SadTalkerReferenceVideo",
            display_name="3DMM from Video",
            category=wires.CATEGORY,
            description="Reads head pose, blinks and expression from a video of somebody, frame by frame, at 25 fps. "
            "Connect frames or a video.",
            inputs=[
                wires.Model.Input("model", tooltip="From Load SadTalker Model; the same as in the other stages."),
                io.Float.Input(
                    "fps",
                    default=25.0,
                    min=1.0,
                    max=240.0,
                    step=0.001,
                    tooltip="Frames per second of the picture batch. A connected video brings its own.",
                ),
                io.Combo.Input(
                    "missing_face",
                    options=MissingFace,
                    default=MissingFace.HOLD,
                    tooltip="A frame without a face: hold the last one, skip the frame, or stop with an error.",
                ),
                io.Int.Input("face_index", default=0, min=0, max=99, tooltip="Which face of the first frame, from 0."),
                io.Combo.Input(
                    "face_order",
                    options=list(FACE_ORDERS),
                    default=FACE_ORDERS[0],
                    tooltip="How the faces of the first frame are counted.",
                ),
                io.Combo.Input("landmarks", **_LANDMARK_INPUT),
                io.Image.Input("frames", optional=True, tooltip="The video as a batch of pictures."),
                io.Video.Input("video", optional=True, tooltip="The video as core's Load Video gives it."),
            ],
            outputs=[
                wires.Coefficients.Output(
                    "reference",
                    display_name="coefficients",
                    tooltip="One row per frame at 25 fps; connect it to a 'reference' input.",
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
    ) -> io.NodeOutput:
        clip = video_frames.open_clip(frames, video, fps)
        progress = Progress(clip.n_frames)
        return io.NodeOutput(
            pipeline.extract_video(
                model,
                clip.frames,
                clip.fps,
                points=_points(model, landmarks),
                selector=FaceSelector(face_index, face_order),
                missing_face=missing_face,
                on_progress=lambda done: progress(done, max(done, clip.n_frames)),
            )
        )


def _points(model: ManagedModel, choice: str) -> Callable[[FaceSelector], PointFinder] | None:
    return choose_points(choice, model.family, model_folders(), model_management.get_torch_device())
