"""The speech set: hours of synthetic voices as mel tracks and blendshape tracks, in one .npz, made in minutes.

    python -m sadtalker_core.training.voices.speech_set --hours 3 --seed 0 --out runs/speech.npz

Needs espeak-ng and flite (Debian: apt-get install espeak-ng flite). Some voices are never trained on; they are kept
for the question whether an unknown voice is understood. The file holds, end to end, `mel` (n_mel in all, 80) float16
and `units` (T in all, len(SPEECH_BLENDSHAPES)) float16, and per utterance `mel_ends`, `unit_ends`, `held_out` and
`voice`.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ...audio.mel import mel_spectrogram
from ...datatypes import SpeechWindows
from ...motion.visemes import SPEECH_BLENDSHAPES, Phone, blendshape_track
from ...saving import save_arrays
from ...timeline import FRAMES_PER_SECOND, SAMPLE_RATE_HZ, frames_in_samples, samples_in_frames
from . import augment, damage, texts
from .synthesis import Espeak, Utterance, flite

ENGLISH_ACCENTS = ("en", "en-us", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbcwmd", "en-029", "en-us-nyc")
#: timbres of espeak-ng that sound like people; whispers, croaks and robots are left out but for two
VARIANTS = (
    "m1", "m2", "m3", "m4", "m5", "m7", "f1", "f2", "f3", "f4", "klatt", "klatt2", "klatt3", "klatt4", "Andy", "Annie",
    "Gene", "Henrique", "Hugo", "Jacky", "Lee", "Marco", "Mario", "Michael", "adam", "anika", "antonio", "belinda",
    "caleb", "david", "ed", "edward", "grandma", "grandpa", "iven", "iven2", "john", "linda", "marcelo", "max",
    "miguel",
    "norbert", "pablo", "paul", "pedro", "robert", "sandro", "steph", "steph2", "travis", "victor", "zac", "whisper",
)  # fmt: skip
HELD_OUT_VARIANTS = ("m6", "m8", "f5", "Alicia", "Denis", "klatt5", "shelby", "quincy")
FLITE = ("slt", "rms", "awb")
HELD_OUT_FLITE = ("kal16", "kal")
#: share of the clips of a training set
NO_VOICE = 1 / 6
#: share of the utterances that others talk over, and of how many before them these are
TALKED_OVER, TALKERS = 0.1, 8


@dataclass(frozen=True, eq=False)
class SpeechClip:
    """mel (n_mel, 80) in -4..4; units (T, len(SPEECH_BLENDSHAPES)) in 0..1; whose voice; whether it is kept from
    training.
    """

    mel: np.ndarray
    units: np.ndarray
    voice: str
    held_out: bool = False

    def windows(self, start: int = 0, stop: int | None = None) -> torch.Tensor:
        """(B, 1, 80, 16), cut by the very code of inference."""
        return self.speech().windows(start, stop)

    def speech(self) -> SpeechWindows:
        """As inference is given it."""
        return SpeechWindows(torch.from_numpy(self.mel.astype(np.float32)), len(self.units))


def clip_of(utterance: Utterance, voice: str, held_out: bool = False, recorded: np.ndarray | None = None) -> SpeechClip:
    """The image comes from the utterance, the sound from `recorded` (n,), the same words recorded otherwise."""
    n_frames = frames_in_samples(len(utterance.wave))
    units = blendshape_track(utterance.phones, n_frames, utterance.wave)[:, SPEECH_BLENDSHAPES]
    wave = utterance.wave if recorded is None else recorded
    mel = mel_spectrogram(torch.from_numpy(np.ascontiguousarray(wave[: samples_in_frames(n_frames)], dtype=np.float32)))
    return SpeechClip(mel.numpy().astype(np.float16), units.astype(np.float16), voice, held_out)


def with_pauses(utterance: Utterance, before_s: float, after_s: float) -> Utterance:
    """The utterance with silence before and after it, in seconds."""
    before, after = int(before_s * SAMPLE_RATE_HZ), int(after_s * SAMPLE_RATE_HZ)
    shift = before / SAMPLE_RATE_HZ
    phones = tuple(Phone(p.start + shift, p.end + shift, p.ipa) for p in utterance.phones)
    return Utterance(np.pad(utterance.wave, (before, after)), phones)


def stretched(utterance: Utterance, wave: np.ndarray, factor: float) -> Utterance:
    """The utterance with another wave, `factor` times as long."""
    return Utterance(wave, tuple(Phone(p.start * factor, p.end * factor, p.ipa) for p in utterance.phones))


def speak(espeak: Espeak, draw: random.Random, held_out: bool = False) -> tuple[Utterance, str]:
    """One utterance of one voice, both drawn at random; one in fourteen is sung, as far as espeak-ng can."""
    kind = draw.random()
    text = texts.babble(draw) if draw.random() < 0.18 else texts.english_sentence(draw)
    if kind < 0.38:
        voice = draw.choice(HELD_OUT_FLITE if held_out else FLITE)
        return flite(text, voice, stretch=draw.uniform(0.72, 1.35)), f"flite {voice}"
    language = draw.choice(ENGLISH_ACCENTS)
    if kind > 0.62:
        language = draw.choice(list(texts.OTHER_LANGUAGES))
        text = texts.foreign_sentence(language, draw)
    voice = f"{language}+{draw.choice(HELD_OUT_VARIANTS if held_out else VARIANTS)}"
    if draw.random() < 0.12:
        return espeak.sing(text, voice, draw, words_per_minute=draw.randint(80, 110)), f"espeak {voice} sings"
    utterance = espeak(
        text,
        voice,
        words_per_minute=draw.randint(110, 230),
        pitch=draw.randint(15, 85),
        pitch_range=draw.randint(15, 90),
    )
    return utterance, f"espeak {voice}"


def without_voice(draw: random.Random, generator: np.random.Generator) -> SpeechClip:
    """Two to six seconds of noise, music or nothing, some of it by telephone or a codec; the mouth is closed."""
    often = ("music", "music", "music", "silence", "chords", "chords", "chords")
    kind = draw.choice((*augment.NOT_SPEECH, *often))
    wave = augment.noise(int(generator.uniform(2, 6) * SAMPLE_RATE_HZ), kind, generator)
    if kind != "silence" and draw.random() < 0.5:
        wave = damage.damaged(wave, draw.choice((*damage.CHANNELS, "codec", "codec")), generator)
    wave = wave / damage.loudness(wave) * 10 ** (-generator.uniform(12, 75) / 20) if wave.any() else wave
    return clip_of(Utterance(wave.astype(np.float32).clip(-1, 1), ()), kind)


def training_clips(seed: int, hours: float, no_voice: float = NO_VOICE) -> Iterator[SpeechClip]:
    """Voices for training, as they reach users; a share `no_voice` of the clips is no speech at all."""
    draw, generator = random.Random(seed), np.random.default_rng(seed)
    espeak = Espeak() if no_voice < 1 else None
    seconds, earlier = 0.0, deque[np.ndarray](maxlen=TALKERS)
    while seconds < hours * 3600:
        if espeak is None or draw.random() < no_voice:
            clip = without_voice(draw, generator)
        else:
            utterance, voice = speak(espeak, draw)
            wave, factor = augment.other_throat(utterance.wave, generator)
            utterance = with_pauses(
                stretched(utterance, wave, factor),
                draw.choice([0, draw.uniform(0, 0.8)]),
                draw.choice([0, draw.uniform(0, 0.8)]),
            )
            recorded = utterance.wave
            if earlier and generator.random() < TALKED_OVER:
                recorded = damage.talked_over(recorded, list(earlier), generator)
            earlier.append(wave)
            clip = clip_of(utterance, voice, recorded=damage.as_received(recorded, generator))
        seconds += len(clip.units) / FRAMES_PER_SECOND
        yield clip


def held_out_utterances(seed: int, minutes: float) -> Iterator[tuple[Utterance, str]]:
    """Voices that training never uses, clean, and their names."""
    espeak, draw = Espeak(), random.Random(seed + 1)
    seconds = 0.0
    while seconds < minutes * 60:
        utterance, voice = speak(espeak, draw, held_out=True)
        level = np.abs(utterance.wave).max() + 1e-9
        seconds += utterance.seconds
        yield Utterance((utterance.wave / level * 0.6).astype(np.float32), utterance.phones), voice


def held_out_clips(seed: int, minutes: float) -> Iterator[SpeechClip]:
    """The texts of `held_out_utterances`."""
    for utterance, voice in held_out_utterances(seed, minutes):
        yield clip_of(utterance, voice, held_out=True)


def save(clips: list[SpeechClip], file: Path) -> None:
    """Writes the clips into one .npz."""
    file.parent.mkdir(parents=True, exist_ok=True)
    arrays = {
        "mel": np.concatenate([c.mel for c in clips]),
        "units": np.concatenate([c.units for c in clips]),
        "mel_ends": np.cumsum([len(c.mel) for c in clips]),
        "unit_ends": np.cumsum([len(c.units) for c in clips]),
        "held_out": np.array([c.held_out for c in clips]),
        "voice": np.array([c.voice for c in clips]),
    }
    save_arrays(file, arrays)


def load(file: Path) -> list[SpeechClip]:
    """Reads what `save` wrote."""
    with np.load(file) as stored:
        mels = np.split(stored["mel"], stored["mel_ends"][:-1])
        units = np.split(stored["units"], stored["unit_ends"][:-1])
        kept_away = stored["held_out"].tolist()
        voices = stored["voice"].tolist()
    return [SpeechClip(*parts) for parts in zip(mels, units, voices, kept_away, strict=True)]


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the top of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=3.0, help="speech to train on (default 3)")
    parser.add_argument(
        "--held-out-minutes", type=float, default=6.0, help="speech of voices kept from training (default 6)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--no-voice", type=float, default=NO_VOICE, metavar="SHARE", help="of clips with noise or music alone (1/6)"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/speech.npz"))
    options = parser.parse_args(arguments)
    clips = []
    for clip in training_clips(options.seed, options.hours, options.no_voice):
        clips.append(clip)
        if len(clips) % 200 == 0:
            print(
                f"{len(clips)} clips, {sum(len(c.units) for c in clips) / FRAMES_PER_SECOND / 60:.0f} minutes",
                file=sys.stderr,
            )
    clips += held_out_clips(options.seed, options.held_out_minutes)
    save(clips, options.out)
    print(f"{options.out}: {len(clips)} clips, {sum(len(c.units) for c in clips) / FRAMES_PER_SECOND / 3600:.2f} hours")


if __name__ == "__main__":
    main()
