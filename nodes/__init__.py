"""The thin layer between ComfyUI and sadtalker_core: one file per stage, in the order of the pipeline."""

from comfy_api.latest import ComfyExtension, io

from .audio_encode import SadTalkerAudioEncode
from .blendshape_files import SadTalkerExportBlendshapes, SadTalkerImportBlendshapes
from .dub_video import SadTalkerDubVideo
from .expnet import SadTalkerExpNet
from .extract import SadTalker3DMMExtract, SadTalkerReferenceVideo
from .face_render import SadTalkerFaceRender
from .finding import easy_to_find
from .inputs import with_checked_inputs
from .load_model import SadTalkerLoadModel, register_folder
from .mappingnet import SadTalkerMappingNet
from .motion_views import SadTalkerMotionPlot, SadTalkerMotionPreview
from .paste_back import SadTalkerPasteBack
from .portrait import SadTalkerLoadPortrait, SadTalkerPortraitFromImage
from .posevae import SadTalkerPoseVAE
from .render_video import SadTalkerRenderVideo
from .set_expression import SadTalkerSetExpression
from .speakers import SadTalkerLookAtSpeaker, SadTalkerSplitSpeakers
from .track_edits import (
    SadTalkerBlendTracks,
    SadTalkerEditExpression,
    SadTalkerEditPose,
    SadTalkerResizeTrack,
    SadTalkerSilenceGate,
)
from .track_files import SadTalkerLoadTrack, SadTalkerSaveTrack
from .video_combine import SadTalkerVideoCombine
from .visible_label import SadTalkerVisibleLabel


class SadTalkerExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        register_folder()
        nodes: list[type[io.ComfyNode]] = [
            SadTalkerLoadModel,
            SadTalkerLoadPortrait,
            SadTalkerPortraitFromImage,
            SadTalker3DMMExtract,
            SadTalkerReferenceVideo,
            SadTalkerAudioEncode,
            SadTalkerExpNet,
            SadTalkerPoseVAE,
            SadTalkerMappingNet,
            SadTalkerFaceRender,
            SadTalkerPasteBack,
            SadTalkerVideoCombine,
            SadTalkerMotionPlot,
            SadTalkerMotionPreview,
            SadTalkerEditExpression,
            SadTalkerSetExpression,
            SadTalkerEditPose,
            SadTalkerBlendTracks,
            SadTalkerResizeTrack,
            SadTalkerSilenceGate,
            SadTalkerSaveTrack,
            SadTalkerLoadTrack,
            SadTalkerVisibleLabel,
            SadTalkerRenderVideo,
            SadTalkerSplitSpeakers,
            SadTalkerLookAtSpeaker,
            SadTalkerExportBlendshapes,
            SadTalkerImportBlendshapes,
            SadTalkerDubVideo,
        ]
        return [with_checked_inputs(easy_to_find(node)) for node in nodes]
