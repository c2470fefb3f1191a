"""Whatever comes as a sound: speech windows that can be heard, or an AudioError of a bearable length."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sadtalker_core.audio.speech import encode_speech, idle_speech
from sadtalker_core.errors import AudioError, OptionError

bounded = settings(derandomize=True, deadline=None, max_examples=40, database=None)

dtypes = st.sampled_from(
    [
        torch.float32,
        torch.float16,
        torch.bfloat16,
        torch.float64,
        torch.int8,
        torch.uint8,
        torch.int16,
        torch.int32,
        torch.int64,
        torch.bool,
        torch.complex64,
        torch.uint16,
        torch.uint32,
    ]
)
shapes = st.lists(st.sampled_from([0, 1, 2, 3, 639, 640, 1300, 9000]), max_size=4).filter(lambda s: np.prod(s) < 60_000)
rates = st.one_of(
    st.sampled_from([16000, 44100, 1000, 8000.5, np.float32(22050), np.int64(48000), torch.tensor(32000), True]),
    st.floats(),
    st.integers(),
    st.text(max_size=9),
    st.none(),
    st.lists(st.integers(), max_size=2),
    st.sampled_from([-1, 0, 1, 10, 999, 1_000_001, 1e9, "44100", 10**400, 1j, torch.zeros(2), b"16000"]),
)
values = st.sampled_from([0.0, 0.3, 1.0, -1.0, 99.0, 101.0, 3e38, float("inf"), float("nan")])


def encode(waveform, rate_hz):
    """Whether it was heard; then what came out can be used."""
    try:
        speech = encode_speech(waveform, rate_hz)
    except AudioError as error:
        assert 20 < len(str(error)) < 450
        return False
    assert speech.n_frames >= 1 and speech.wave.shape == (speech.n_samples,)
    assert speech.wave.dtype == speech.mel.dtype == torch.float32
    assert speech.wave.isfinite().all() and speech.mel.abs().max() <= 4
    assert speech.windows().shape == (speech.n_frames, 1, 80, 16)
    return True


@bounded
@given(shape=shapes, dtype=dtypes, value=values, rate_hz=rates, odd=values)
def test_any_shape_type_value_and_rate(shape, dtype, value, rate_hz, odd):
    waveform = torch.full(shape, value, dtype=torch.float64)
    if waveform.numel() > 1:
        waveform.view(-1)[waveform.numel() // 2] = odd
    encode(waveform.to(dtype), rate_hz)


@bounded
@given(
    n_channels=st.integers(1, 4),
    n_samples=st.integers(640, 9000),
    dtype=dtypes,
    batched=st.booleans(),
    rate_hz=st.sampled_from([1000, 8000, 16000, 44100, 1_000_000]),
    seed=st.integers(0, 99),
)
def test_every_sound_of_a_frame_or_more_is_audible(n_channels, n_samples, dtype, batched, rate_hz, seed):
    noise = torch.rand(n_channels, n_samples, generator=torch.Generator().manual_seed(seed)) - 0.5
    if not (dtype.is_floating_point or dtype.is_complex or dtype == torch.bool):
        noise = noise.clamp(min=0) if torch.iinfo(dtype).min == 0 else noise
        noise = noise.double() * torch.iinfo(dtype).max
    waveform = noise.to(dtype)
    long_enough = n_samples * 16000 / rate_hz >= 640
    accepted = encode(waveform[None] if batched else waveform, rate_hz)
    assert accepted == (long_enough and not dtype.is_complex and dtype != torch.bool)


@bounded
@given(waveform=st.none() | st.text() | st.lists(st.floats()) | st.dictionaries(st.text(), st.none()) | st.integers())
def test_what_is_no_tensor_gets_a_sentence(waveform):
    assert not encode(waveform, 16000)


@bounded
@given(seconds=st.floats(max_value=5.0) | st.sampled_from([float("inf"), 1e300, 1e12]))
def test_any_idle_time(seconds):
    try:
        assert idle_speech(seconds).n_frames >= 1
    except OptionError as error:
        assert "idle_seconds" in str(error)
