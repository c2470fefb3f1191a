"""Voice at 16 kHz -> mel, its windows, the blink track and the face at rest."""

from __future__ import annotations

import random
from collections.abc import Iterator

import torch

from sadtalker_core.audio.speech import encode_speech, idle_speech
from sadtalker_core.datatypes import RELEASED, CropMode, FaceCoefficients
from sadtalker_core.motion.blink import released_blinks
from sadtalker_core.motion.expression import face_at_rest
from sadtalker_core.motion.reference import ReferenceLength, fit_length
from sadtalker_core.timeline import SAMPLE_RATE_HZ
from tests.parity.harness import Row, Vectors, compare


def check(vectors: Vectors, seed: int) -> Iterator[Row]:
    for case in vectors.cases:
        given, want = vectors.inputs(case), vectors.outputs(case)

        def row(field, got, tolerance=0.0, case=case, want=want):
            return compare(vectors.stage, case, field, got, want[field], tolerance)

        if "idle_seconds" in given:
            speech = idle_speech(given["idle_seconds"])
        else:
            speech = encode_speech(torch.from_numpy(given["wav16k"]), SAMPLE_RATE_HZ)
            yield row("mel", speech.mel, 1e-5)
        yield row("num_frames", speech.n_frames)
        windows = speech.windows()[:, 0]
        if "indiv_mels" in want:
            yield row("indiv_mels", windows, 1e-5)
        else:
            yield row("indiv_mels_every5", windows[::5], 1e-5)

        source = _coefficients(given.get("coeff_3dmm"))
        reference = None
        blink = released_blinks(speech.n_frames, random.Random(given["py_seed"]))
        if "eyeblink" in given:
            reference = fit_length(_coefficients(given["eyeblink"]), speech.n_frames, ReferenceLength.LOOP)
        if "eyeblink" in given or not given.get("use_blink", True):
            blink = torch.zeros(speech.n_frames)
        yield row("ratio", blink)
        rest = face_at_rest(source, speech.n_frames, reference)
        yield row("ref", torch.cat([rest, source.pose.expand(speech.n_frames, -1)], dim=1))


def _coefficients(rows) -> FaceCoefficients:
    rows = torch.zeros(1, 73) if rows is None else torch.from_numpy(rows)
    return FaceCoefficients.from_crop_rows(rows, family=RELEASED, crop_mode=CropMode.CROP, pic_size=256)
