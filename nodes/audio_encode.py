"""Audio Encode: audio in, the mel windows that the networks read out."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..sadtalker_core import pipeline
from ..sadtalker_core.audio.loudness import OFF
from ..sadtalker_core.audio.speech import EMPTY
from ..sadtalker_core.errors import AudioError
from . import widgets, wires
from .progress import Progress

#: the default of an input that nothing is connected to: a node may also put None on its wire, which is no audio
_NOT_CONNECTED = object()


class SadTalkerAudioEncode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SadTalkerAudioEncode",
            display_name="Audio Encode",
            category=wires.CATEGORY,
            description="Turns audio into mel windows, one per video frame (25 fps). Without audio it makes an idle "
            "clip of the given length: the head moves and blinks, the mouth rests.",
            inputs=[
                widgets.option("idle_seconds"),
                io.Audio.Input("audio", optional=True, tooltip="The speech; any sample rate and number of channels."),
                widgets.option("loudness", optional=True),
            ],
            outputs=[
                wires.Speech.Output("speech", display_name="speech", tooltip="The audio as mel windows."),
                io.Int.Output("n_frames", display_name="frame count", tooltip="Length of the audio in video frames."),
            ],
        )

    @classmethod
    def execute(cls, idle_seconds: float, audio: Any = _NOT_CONNECTED, loudness: str = OFF) -> io.NodeOutput:
        if audio is _NOT_CONNECTED:
            speech = pipeline.encode_audio(None, idle_seconds=idle_seconds)
        elif audio is None:  # core's Get Video Components, for a silent video
            raise AudioError(EMPTY)
        else:
            speech = pipeline.encode_audio(
                audio["waveform"], audio["sample_rate"], loudness=loudness, on_progress=Progress()
            )
        return io.NodeOutput(speech, speech.n_frames)
