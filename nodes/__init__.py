"""The thin layer between ComfyUI and the rooms: one file per stage, in the order of the walk."""

from comfy_api.latest import ComfyExtension, io

from .audio_encode import SadTalkerAudioEncode
from .expnet import SadTalkerExpNet
from .extract import SadTalker3DMMExtract, SadTalkerReferenceVideo
from .face_render import SadTalkerFaceRender
from .load_model import SadTalkerLoadModel, register_folder
from .mappingnet import SadTalkerMappingNet
from .paste_back import SadTalkerPasteBack
from .portrait import SadTalkerLoadPortrait, SadTalkerPortraitFromImage
from .posevae import SadTalkerPoseVAE
from .video_combine import SadTalkerVideoCombine


class SadTalkerExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        register_folder()
        return [
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
        ]
