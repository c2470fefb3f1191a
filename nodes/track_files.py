"""Save Track and Load Track: an expression and a pose into a small file, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from comfy_api.latest import io, ui
from comfy_execution.graph_utils import ExecutionBlocker

from ..sadtalker_core.claims import sweep
from ..sadtalker_core.datatypes import Expression, HeadPose
from ..sadtalker_core.errors import shorten
from ..sadtalker_core.motion.track_file import TRACK_ENDING, load_tracks, save_tracks
from . import listed_files, video_file, widgets, wires


class SadTalkerSaveTrack(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SadTalkerSaveTrack",
            display_name="Save Track",
            category=wires.CATEGORY,
            description="Saves an expression, a pose or both to a small file in the output folder, to load again "
            "later or for another portrait.",
            inputs=[
                *widgets.own("SaveTrack"),
                wires.Expression.Input("expression", optional=True, tooltip="The expression to save."),
                wires.Pose.Input("pose", optional=True, tooltip="The pose to save."),
            ],
            outputs=[io.String.Output("file", display_name="file", tooltip="The saved file, as listed in Load Track.")],
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls, filename_prefix: str, expression: Expression | None = None, pose: HeadPose | None = None
    ) -> io.NodeOutput:
        claim, subfolder = video_file.claim(filename_prefix, "track", TRACK_ENDING, cls.hidden)
        sweep(claim.path.parent)
        with claim, video_file.written_to(claim.path.parent):
            file = save_tracks(claim, expression, pose).name
        choice = f"{(Path(subfolder) / file).as_posix()} [output]"
        return io.NodeOutput(choice, ui=ui.PreviewText(choice))

    @classmethod
    def validate_inputs(cls, filename_prefix: str | None = None) -> str | bool:
        return video_file.prefix_fault(filename_prefix)


class SadTalkerLoadTrack(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SadTalkerLoadTrack",
            display_name="Load Track",
            category=wires.CATEGORY,
            description="Loads a file from Save Track. A track only works with the model family that made it, mini or"
            " released; it may have any length.",
            inputs=[
                io.Combo.Input(
                    "track",
                    options=listed_files.choices(TRACK_ENDING),
                    tooltip=f"A file that ends in {TRACK_ENDING}, in the input or the output folder. Press R to "
                    "refresh the list.",
                ),
            ],
            outputs=[
                wires.Expression.Output(
                    "expression", display_name="expression", tooltip="The saved expression; empty if there is none."
                ),
                wires.Pose.Output("pose", display_name="pose", tooltip="The saved pose; empty if there is none."),
                io.Int.Output("n_frames", display_name="frame count", tooltip="Length of the track in frames."),
            ],
        )

    @classmethod
    def execute(cls, track: str) -> io.NodeOutput:
        tracks = load_tracks(listed_files.path_of(track, (TRACK_ENDING,), _refusal(track)))

        def held(name: str) -> Any:
            empty = ExecutionBlocker(f"{track} holds no {name}: remove the wire, or load a track that has one.")
            return empty if getattr(tracks, name) is None else getattr(tracks, name)

        return io.NodeOutput(held("expression"), held("pose"), tracks.n_frames)

    @classmethod
    def fingerprint_inputs(cls, track: str) -> Any:
        return listed_files.fingerprint(track, (TRACK_ENDING,))

    @classmethod
    def validate_inputs(cls, track: str) -> str | bool:
        return listed_files.fault(track, (TRACK_ENDING,), _refusal(track))


def _refusal(track: str) -> str:
    return (
        f"there is no track '{shorten(track)}' in ComfyUI's input or output folder. Save one with Save Track, or "
        f"put a file that ends in {TRACK_ENDING} into the input folder, press R and choose it."
    )
