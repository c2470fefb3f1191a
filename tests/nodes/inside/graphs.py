"""The pipeline as an API prompt, short enough for a test: an idle clip or the demo's voice, on the built-in model."""


def talking(idle_seconds=1.0, voice=None, model="mini", image="astronaut.png", crop_mode="crop", **changes):
    """changes: "node.input"=value, for example **{"posevae.pose_style": 3}. Node ids are the names used here."""
    graph = {
        "model": ("SadTalkerLoadModel", {"model": model, "precision": "fp32", "allow_download": False}),
        "portrait": ("SadTalkerLoadPortrait", {"image": image, "face_index": 0, "face_order": "largest"}),
        "extract": ("SadTalker3DMMExtract", {
            "model": ["model", 0], "portrait": ["portrait", 0], "crop_mode": crop_mode, "crop_scale": 1.0,
            "crop_offset_x": 0.0, "crop_offset_y": 0.0, "landmarks": "auto"}),
        "speech": ("SadTalkerAudioEncode", {"idle_seconds": idle_seconds}),
        "expnet": ("SadTalkerExpNet", {
            "model": ["model", 0], "speech": ["speech", 0], "coefficients": ["extract", 1], "blink": "auto",
            "blink_rate": 18.0, "blink_strength": 1.0, "seed": 1, "reference_mode": "blink",
            "reference_length": "loop"}),
        "posevae": ("SadTalkerPoseVAE", {
            "model": ["model", 0], "speech": ["speech", 0], "coefficients": ["extract", 1], "pose_style": 0, "seed": 1,
            "reference_mode": "pose", "reference_length": "loop"}),
        "mapping": ("SadTalkerMappingNet", {
            "model": ["model", 0], "coefficients": ["extract", 1], "expression": ["expnet", 0], "pose": ["posevae", 0],
            "expression_scale": 1.0, "yaw_scale": 1.0, "pitch_scale": 1.0, "roll_scale": 1.0, "still": False,
            "yaw": "", "pitch": "", "roll": ""}),
        "render": ("SadTalkerFaceRender", {
            "model": ["model", 0], "portrait": ["extract", 0], "motion": ["mapping", 0], "batch_size": 0}),
        "video": ("SadTalkerVideoCombine", {
            "frames": ["render", 0], "fps": ["render", 1], "filename_prefix": "test/talk", "quality": "draft"}),
    }  # fmt: skip
    if voice:
        graph["voice"] = ("LoadAudio", {"audio": voice})
        graph["speech"][1]["audio"] = graph["video"][1]["audio"] = ["voice", 0]
    for place, value in changes.items():
        node, name = place.split(".")
        graph[node][1][name] = value
    return {node: {"class_type": kind, "inputs": inputs} for node, (kind, inputs) in graph.items()}


def motion_preview() -> dict:
    """A small preview of the motion in a graph of `talking`."""
    inputs = {"model": ["model", 0], "portrait": ["extract", 0], "motion": ["mapping", 0], "size": 64}
    return {"class_type": "SadTalkerMotionPreview", "inputs": inputs | {"over_portrait": False}}


def raised(call) -> str:
    """What a call raises, whatever it is, in words that a test reads."""
    try:
        call()
    except Exception as error:  # noqa: BLE001
        return f"{type(error).__name__}: {error}"
    return "nothing was raised"
