"""What is said, and what the mouth should do: real readings by forced alignment, and generated voices never heard.

A real reading's phonemes and their times come from pocketsphinx, which is told the text; the rules that label
what ExpNet is trained on (motion/visemes.py) turn them into blendshapes, frame by frame.
"""

from __future__ import annotations

import json
import random
import sys
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from sadtalker_core.audio.dereverberation import late_reverberation
from sadtalker_core.audio.mel import mel_spectrogram
from sadtalker_core.motion.visemes import ARPABET, Phone, blendshape_track
from sadtalker_core.timeline import FRAMES_PER_SECOND, SAMPLE_RATE_HZ
from sadtalker_core.training.voices.speech_set import (
    HELD_OUT_VARIANTS,
    SpeechClip,
    clip_of,
    held_out_utterances,
)
from sadtalker_core.training.voices.synthesis import Espeak, Utterance, VoiceMissing, flite
from tests.waves import write_wave

from . import damages, sources
from .trial import CLOSED_PHONES, LIBRIVOX, SPOKEN, TEST_SEED

_ALIGNER_FRAMES_PER_SECOND = 100
_UNHEARD = Path(__file__).with_name("unheard_languages.json")


@dataclass(frozen=True, eq=False)
class Spoken:
    """A recording: wave (n,) 16 kHz in -1..1, its phones with times, as an utterance."""

    name: str
    utterance: Utterance

    def clip(self) -> SpeechClip:
        return heard(self.utterance, self.name, self.utterance.wave)

    def damaged(self, by: damages.Damage, level: float = damages.LEVEL) -> SpeechClip:
        """The same moments as they sound after that, the loudest of them at `level`."""
        seed = [TEST_SEED, len(self.utterance.wave)]
        wave = by(self.utterance.wave.astype(np.float64), np.random.default_rng(seed))
        scaled = wave / (np.abs(wave).max() + 1e-9) * level
        return heard(self.utterance, self.name, scaled.astype(np.float32))

    def units(self, n_frames: int, *, led: bool = True) -> np.ndarray:
        """(T, 52) what the rules ask of the face; led as in visemes.py."""
        return blendshape_track(self.utterance.phones, n_frames, self.utterance.wave, led=led)

    def closures(self, n_frames: int) -> list[np.ndarray]:
        """The frames of each p, b and m that ends within the clip: those whose middle lies in the sound, or the
        nearest one.
        """
        found = []
        for phone in self.utterance.phones:
            if phone.ipa in CLOSED_PHONES and phone.end * FRAMES_PER_SECOND <= n_frames:
                middles = (np.arange(n_frames) + 0.5) / FRAMES_PER_SECOND
                inside = np.flatnonzero((middles >= phone.start) & (middles < phone.end))
                nearest = np.abs(middles - (phone.start + phone.end) / 2).argmin()
                found.append(inside if len(inside) else np.array([nearest]))
        return found

    def save(self, file: Path, n_frames: int) -> None:
        """The beginning of the recording as a 16-bit .wav."""
        write_wave(file, self.utterance.wave[: n_frames * SAMPLE_RATE_HZ // FRAMES_PER_SECOND], SAMPLE_RATE_HZ)


def heard(utterance: Utterance, name: str, recorded: np.ndarray) -> SpeechClip:
    """The utterance as `recorded` (n,) float32 has it, with what ExpNet is given of that in use."""
    wave = torch.from_numpy(np.ascontiguousarray(recorded))
    late = late_reverberation(wave, mel_spectrogram(wave))
    return clip_of(utterance, name, recorded=recorded if late is None else (wave - late).numpy())


def reading(number: str, folder: Path) -> Spoken:
    place = sources.readings(folder)
    name = LIBRIVOX + number
    return aligned(number, place / f"{name}.wav", (place / f"{name}.txt").read_text(encoding="utf-8").strip(), folder)


def own_readings(voices: Path, folder: Path) -> list[Spoken]:
    """Every .wav of a folder that has a .txt of the same name beside it: what is said, in English, lower case."""
    pairs = [(sound, sound.with_suffix(".txt")) for sound in sorted(voices.glob("*.wav"))]
    return [
        aligned(sound.stem, sound, text.read_text(encoding="utf-8").strip(), folder)
        for sound, text in pairs
        if text.exists()
    ]


def aligned(name: str, sound: Path, text: str, folder: Path) -> Spoken:
    """A 16 kHz mono .wav and its words -> the recording with its phones. Two passes: words, then their sounds."""
    sys.path.insert(0, str(sources.aligner(folder)))
    try:
        from pocketsphinx import Decoder
    finally:
        sys.path.pop(0)
    with wave.open(str(sound)) as file:
        if (file.getframerate(), file.getnchannels(), file.getsampwidth()) != (SAMPLE_RATE_HZ, 1, 2):
            raise ValueError(f"{sound}: expected 16-bit mono at {SAMPLE_RATE_HZ} Hz")
        raw = file.readframes(file.getnframes())
    decoder = Decoder(samprate=SAMPLE_RATE_HZ, lm=None, loglevel="FATAL", bestpath=False)
    decoder.set_align_text(text)
    _feed(decoder, raw)
    decoder.set_alignment()
    _feed(decoder, raw)
    phones = []
    for word in decoder.get_alignment():  # entries live as long as the iteration over them
        for sound_of_word in word:
            start = sound_of_word.start / _ALIGNER_FRAMES_PER_SECOND
            end = start + sound_of_word.duration / _ALIGNER_FRAMES_PER_SECOND
            phones.append(Phone(start, end, ARPABET.get(sound_of_word.name.lower(), "")))
    return Spoken(name, Utterance(np.frombuffer(raw, "<i2").astype(np.float32) / 32768, tuple(phones)))


def _feed(decoder, raw: bytes) -> None:
    decoder.start_utt()
    decoder.process_raw(raw, full_utt=True)
    decoder.end_utt()


#: flite's and espeak-ng's voices, and what they say; flite's were recorded from people
_SPEAKERS = (
    ("awb", "Bring me the blue map of the harbour, because we may have to move before the storm comes up."),
    ("slt", "People who walk by the water every morning often wonder why the boats are painted white."),
    ("kal16", "Both of my brothers bought bread and a pound of butter, but nobody remembered the milk."),
    ("de+f5", "Am Abend bleiben wir oft am Ufer und warten, bis das Boot mit den bunten Lampen wiederkommt."),
)


def speakers(folder: Path) -> list[Spoken]:
    """Five of them: the reader of LibriVox, three of flite, and one of espeak-ng who speaks German. Raises
    sources.Unavailable where a synthesiser is not installed.
    """
    found = [reading(SPOKEN[0], folder)]
    try:
        for voice, text in _SPEAKERS:
            found.append(Spoken(voice, Espeak()(text, voice) if "+" in voice else flite(text, voice)))
    except VoiceMissing as error:
        raise sources.Unavailable(str(error)) from error
    return found


def generated(minutes: float) -> list[Spoken]:
    """Voices and sentences that training does not have; nothing where the synthesisers are not installed."""
    try:
        return [Spoken(voice, utterance) for utterance, voice in held_out_utterances(TEST_SEED, minutes)]
    except VoiceMissing as error:
        print(f"no generated voices: {error}", flush=True)
        return []


def in_unheard_languages(minutes: float) -> list[Spoken]:
    """Languages that training does not have, in timbres that it does not have, each once before any comes again;
    nothing where espeak-ng is not installed.
    """
    draw, found, seconds = random.Random(TEST_SEED), [], 0.0
    try:
        espeak = Espeak()
        while seconds < minutes * 60:
            for language, sentences in json.loads(_UNHEARD.read_text(encoding="utf-8")).items():
                voice = f"{language}+{draw.choice(HELD_OUT_VARIANTS)}"
                text, pitch = draw.choice(sentences), draw.randint(20, 80)
                utterance = espeak(text, voice, words_per_minute=draw.randint(120, 200), pitch=pitch)
                found.append(Spoken(f"{voice} {len(found)}", utterance))
                seconds += utterance.seconds
    except VoiceMissing as error:
        print(f"no unheard languages: {error}", flush=True)
    return found
