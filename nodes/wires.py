"""The custom wires of the graph; on each travels one record of sadtalker_core/datatypes.py, or the resident model."""

from comfy_api.latest import io

CATEGORY = "SadTalker"

Model = io.Custom("SADTALKER_MODEL")
Portrait = io.Custom("SADTALKER_PORTRAIT")
Coefficients = io.Custom("SADTALKER_COEFFICIENTS")
Speech = io.Custom("SADTALKER_SPEECH")
Expression = io.Custom("SADTALKER_EXPRESSION")
Pose = io.Custom("SADTALKER_POSE")
Motion = io.Custom("SADTALKER_MOTION")

#: wires of newer ComfyUIs' own face nodes; an older one has nothing to connect here
FaceLandmarks = io.Custom("FACE_LANDMARKS")
BoundingBox = io.Custom("BOUNDING_BOX")
