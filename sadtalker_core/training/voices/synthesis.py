"""Text -> speech with phoneme times, from the two free synthesisers of Debian: espeak-ng and flite.

    apt-get install espeak-ng flite

espeak-ng is called through its library, because only there it reports when each phoneme begins; flite is a program that
prints the ends of its phonemes (-psdur). Waves are (n,) float32 mono at 16 kHz. The library keeps one state per
process: make one `Espeak` and use it from one thread.
"""

from __future__ import annotations

import ctypes
import html
import random
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...motion.visemes import ARPABET, Phone
from ...timeline import SAMPLE_RATE_HZ


class VoiceMissing(RuntimeError):
    """A synthesiser, or the voice asked for, is not on this machine."""


@dataclass(frozen=True, eq=False)
class Utterance:
    """wave (n,) at 16 kHz in -1..1; phones in order of time, silence is one of them, spelled ""."""

    wave: np.ndarray
    phones: tuple[Phone, ...]

    @property
    def seconds(self) -> float:
        return len(self.wave) / SAMPLE_RATE_HZ


def _to_16_khz(wave: np.ndarray, rate_hz: int) -> np.ndarray:
    from scipy.signal import resample_poly

    return (
        wave.astype(np.float32)
        if rate_hz == SAMPLE_RATE_HZ
        else resample_poly(wave, SAMPLE_RATE_HZ, rate_hz).astype(np.float32)
    )


# --- espeak-ng: speak_lib.h -----------------------------------------------------------------------------------------
_SYNCHRONOUS = 2
_PHONEME_EVENTS, _PHONEME_IPA = 1, 2
_EVENT_END_OF_LIST, _EVENT_PHONEME = 0, 7
_RATE, _PITCH, _RANGE = 1, 3, 4
_CHARS_UTF8, _SSML = 1, 0x10


class _EventId(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position_ms", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    ]


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class Espeak:
    """libespeak-ng with phoneme events. `voice` is a language and a variant: "en-us+f3", "de+klatt"."""

    def __init__(self) -> None:
        try:
            self._library = ctypes.CDLL("libespeak-ng.so.1")
        except OSError as error:
            raise VoiceMissing(f"libespeak-ng is not installed (Debian: apt-get install espeak-ng): {error}") from error
        self.rate_hz = self._library.espeak_Initialize(_SYNCHRONOUS, 0, None, _PHONEME_EVENTS | _PHONEME_IPA)
        if self.rate_hz <= 0:
            raise VoiceMissing("espeak-ng could not find its data (espeak_Initialize failed)")
        self._blocks: list[np.ndarray] = []
        self._starts: list[tuple[float, str]] = []
        self._on_audio = _Callback(self._on_synth)  # kept alive as long as the library may call it
        self._library.espeak_SetSynthCallback(self._on_audio)

    def _on_synth(self, samples: Any, n_samples: int, events: Any) -> int:
        if samples and n_samples > 0:
            self._blocks.append(np.ctypeslib.as_array(samples, (n_samples,)).copy())
        i = 0
        while events[i].type != _EVENT_END_OF_LIST:
            if events[i].type == _EVENT_PHONEME:
                name = events[i].id.string.decode("utf-8", "ignore")
                self._starts.append((events[i].audio_position_ms / 1000.0, name))
            i += 1
        return 0

    def __call__(
        self, text: str, voice: str, *, words_per_minute: int = 165, pitch: int = 50, pitch_range: int = 50
    ) -> Utterance:
        """pitch and pitch_range 0..99, 50 is the voice's own."""
        return self._speak(text, voice, 0, words_per_minute, pitch, pitch_range)

    def sing(self, text: str, voice: str, draw: random.Random, *, words_per_minute: int = 95) -> Utterance:
        """Each word on a note of its own, held level, and the words slow: as near to singing as this comes."""
        note = draw.randint(30, 70)
        words = []
        for word in text.split():
            note = min(99, max(5, note + draw.choice((-14, -7, 0, 7, 14))))
            words.append(f'<prosody pitch="{note}" range="0">{html.escape(word)}</prosody>')
        return self._speak(f"<speak>{' '.join(words)}</speak>", voice, _SSML, words_per_minute, 50, 0)

    def _speak(
        self, text: str, voice: str, flags: int, words_per_minute: int, pitch: int, pitch_range: int
    ) -> Utterance:
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise VoiceMissing(f"espeak-ng has no voice {voice!r}")
        for parameter, value in ((_RATE, words_per_minute), (_PITCH, pitch), (_RANGE, pitch_range)):
            self._library.espeak_SetParameter(parameter, int(value), 0)
        self._blocks, self._starts = [], []
        encoded = text.encode("utf-8") + b"\0"
        self._library.espeak_Synth(encoded, len(encoded), 0, 0, 0, _CHARS_UTF8 | flags, None, None)
        self._library.espeak_Synchronize()
        if not self._blocks:
            raise VoiceMissing(f"espeak-ng produced no audio for {text!r} as {voice!r}")
        wave = _to_16_khz(np.concatenate(self._blocks).astype(np.float32) / 32768.0, self.rate_hz)
        ends = [start for start, _ in self._starts[1:]] + [len(wave) / SAMPLE_RATE_HZ]
        phones = (Phone(start, end, name) for (start, name), end in zip(self._starts, ends, strict=True) if end > start)
        return Utterance(wave, tuple(phones))


# --- flite ----------------------------------------------------------------------------------------------------------


def flite(text: str, voice: str, *, stretch: float = 1.0) -> Utterance:
    """stretch: 1.2 speaks slower, 0.8 faster."""
    from scipy.io import wavfile

    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "speech.wav"
        command = [
            "flite",
            "-voice",
            voice,
            "--setf",
            f"duration_stretch={stretch}",
            "-psdur",
            "-t",
            text,
            "-o",
            str(target),
        ]
        try:
            printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        except FileNotFoundError as error:
            raise VoiceMissing("flite is not installed (Debian: apt-get install flite)") from error
        rate_hz, samples = wavfile.read(target)
    phones, start = [], 0.0
    for symbol, end in re.findall(r"(\S+?):([\d.]+)", printed):
        if float(end) > start:
            phones.append(Phone(start, float(end), ARPABET.get(symbol, symbol)))
            start = float(end)
    return Utterance(_to_16_khz(samples.astype(np.float32) / 32768.0, rate_hz), tuple(phones))
