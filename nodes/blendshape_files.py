"""Export Blendshapes and Import Blendshapes: tracks to files for other programs, and files of theirs to tracks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from comfy_api.latest import io, ui
from comfy_execution.graph_utils import ExecutionBlocker

from ..sadtalker_core.choices import one_of
from ..sadtalker_core.claims import sweep
from ..sadtalker_core.datatypes import Expression, FaceCoefficients, HeadPose, SpeechWindows
from ..sadtalker_core.errors import shorten
from ..sadtalker_core.motion.blendshape_export import ENDINGS, export_blendshapes
from ..sadtalker_core.motion.blendshape_import import IMPORT_ENDINGS, import_blendshapes
from ..sadtalker_core.motion.blendshape_layout import EXPORT_FORMS, require_names
from . import listed_files, video_file, widgets, wires
from .progress import Progress


class SadTalkerExportBlendshapes(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SadTalkerExportBlendshapes",
            display_name="Export Blendshapes",
            category=wires.CATEGORY,
            description="Writes an expression and a pose of mini as ARKit blendshapes to the output folder: Live Link "
            "Face CSV, or JSON for glTF and VRM avatars.",
            inputs=[
                wires.Expression.Input("expression", tooltip="From ExpNet or an edit of it; of the mini model."),
                *widgets.own("ExportBlendshapes"),
                wires.Pose.Input("pose", optional=True, tooltip="From PoseVAE: the angles of the head."),
            ],
            outputs=[
                io.String.Output(
                    "written_file", display_name="file", tooltip="The written file, as listed in Import Blendshapes."
                )
            ],
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls, expression: Expression, format: str, fps: float, filename_prefix: str, pose: HeadPose | None = None
    ) -> io.NodeOutput:
        form = one_of("format", format, EXPORT_FORMS)
        require_names(expression, "exported")
        claim, subfolder = video_file.claim(filename_prefix, "blendshapes", ENDINGS[form], cls.hidden)
        sweep(claim.path.parent)
        with claim, video_file.written_to(claim.path.parent):
            file = export_blendshapes(claim, expression, pose, form=form, fps=fps, on_progress=Progress()).name
        choice = f"{(Path(subfolder) / file).as_posix()} [output]"
        return io.NodeOutput(choice, ui=ui.PreviewText(choice))

    @classmethod
    def validate_inputs(cls, filename_prefix: str | None = None) -> str | bool:
        return video_file.prefix_fault(filename_prefix)


class SadTalkerImportBlendshapes(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SadTalkerImportBlendshapes",
            display_name="Import Blendshapes",
            category=wires.CATEGORY,
            description="Reads a Live Link Face CSV, Azure visemes or blendshapes, Rhubarb mouths or phonemes with "
            "times as an expression of mini, and a pose where the file has one.",
            inputs=[
                io.Combo.Input(
                    "file",
                    options=listed_files.choices(*IMPORT_ENDINGS),
                    tooltip="A .csv, .json, .jsonl, .tsv, .txt, .lab or .TextGrid file in the input or the output "
                    "folder; what it holds is detected. Press R to refresh the list.",
                ),
                *widgets.own("ImportBlendshapes"),
                wires.Speech.Input("speech", optional=True, tooltip="The tracks become as long as this audio."),
                wires.Expression.Input(
                    "expression",
                    optional=True,
                    tooltip="From ExpNet, for what the file does not contain, such as blinks under visemes.",
                ),
                wires.Coefficients.Input(
                    "coefficients",
                    optional=True,
                    tooltip="The portrait's, from 3DMM Extract: phonemes open the mouth from its rest, and the "
                    "head starts there and moves as in the file. Without: absolute angles.",
                ),
            ],
            outputs=[
                wires.Expression.Output(
                    "imported_expression", display_name="expression", tooltip="For MappingNet, of the mini model."
                ),
                wires.Pose.Output(
                    "imported_pose", display_name="pose", tooltip="The head of the file; empty if it has none."
                ),
                io.Int.Output("n_frames", display_name="frame count", tooltip="Length of the track in frames."),
            ],
        )

    @classmethod
    def execute(
        cls,
        file: str,
        fps: float,
        speech: SpeechWindows | None = None,
        expression: Expression | None = None,
        coefficients: FaceCoefficients | None = None,
    ) -> io.NodeOutput:
        read = import_blendshapes(
            listed_files.path_of(file, IMPORT_ENDINGS, _refusal(file)),
            fps=fps,
            speech=speech,
            base=expression,
            source=coefficients,
            on_progress=Progress(),
        )
        pose: Any = read.pose
        if pose is None:
            pose = ExecutionBlocker(f"{shorten(file)} holds no head movement: connect PoseVAE instead of this pose.")
        return io.NodeOutput(read.expression, pose, len(read.expression))

    @classmethod
    def fingerprint_inputs(cls, file: str, **_: Any) -> Any:
        return listed_files.fingerprint(file, IMPORT_ENDINGS)

    @classmethod
    def validate_inputs(cls, file: str) -> str | bool:
        return listed_files.fault(file, IMPORT_ENDINGS, _refusal(file))


def _refusal(file: str) -> str:
    return (
        f"there is no file '{shorten(file)}' to import in ComfyUI's input or output folder. Put one that ends in "
        f"{', '.join(IMPORT_ENDINGS)} into the input folder, press R and choose it."
    )
