"""From any voice to speech windows: what is heard does not depend on how the voice was stored."""

import librosa
import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from sadtalker_core.audio.speech import encode_speech, idle_speech
from sadtalker_core.datatypes import SpeechWindows
from sadtalker_core.errors import AudioError, Cancelled, OptionError


def a_tone(n_samples, rate_hz=16000, pitch_hz=440.0):
    return 0.3 * torch.sin(2 * torch.pi * pitch_hz * torch.arange(n_samples) / rate_hz)


def test_a_second_is_25_frames_and_the_rest_is_cut():
    for n_samples, n_frames in ((640, 1), (1279, 1), (1280, 2), (16000, 25), (16639, 25)):
        speech = encode_speech(a_tone(n_samples), 16000)
        assert speech.n_frames == n_frames
        assert speech.wave.shape == (640 * n_frames,)
        assert speech.mel.shape == (1 + 640 * n_frames // 200, 80)
        assert speech.windows().shape == (n_frames, 1, 80, 16)


def test_a_tenth_of_a_second_makes_two_frames():
    assert encode_speech(a_tone(4410, 44100), 44100).n_frames == 2


def test_the_cut_rest_is_not_audible():
    wave = a_tone(16000 + 639)
    torch.testing.assert_close(encode_speech(wave, 16000).mel, encode_speech(wave[:16000], 16000).mel, rtol=0, atol=0)


@pytest.mark.parametrize("rate_hz", [8000, 11025, 15000, 22050, 44100, 48000, 96000])
def test_any_sample_rate_gives_the_same_tone(rate_hz):
    speech = encode_speech(a_tone(rate_hz, rate_hz), rate_hz)
    assert speech.n_frames == 25
    direct = encode_speech(a_tone(16000), 16000)
    band = direct.mel[20].argmax()
    assert speech.mel[20].argmax() == band
    assert (speech.mel[10:70, band] - direct.mel[10:70, band]).abs().max() < 0.05


@pytest.mark.parametrize("rate_hz", [8000, 11025, 16000, 44100, 48000])
@pytest.mark.parametrize("n_samples", [44100, 50001])
def test_pieces_make_the_same_wave_as_librosa_makes_of_the_whole(monkeypatch, rate_hz, n_samples):
    channels = 0.1 * torch.randn(2, n_samples, generator=torch.Generator().manual_seed(0))
    whole = channels.mean(dim=0).numpy()
    wanted = librosa.resample(whole, orig_sr=rate_hz, target_sr=16000, res_type="soxr_hq")
    monkeypatch.setattr("sadtalker_core.audio.speech.SAMPLES_PER_CHUNK", 4096)
    wave = encode_speech(channels, rate_hz).wave.numpy()
    np.testing.assert_allclose(wave, wanted[: len(wave)], rtol=0, atol=1e-6)
    assert len(wanted) - 640 < len(wave)


def test_nothing_in_between_is_larger_than_what_goes_out(monkeypatch):
    """An hour of stereo is over a gigabyte, and what comes in is not copied."""
    monkeypatch.setattr("sadtalker_core.audio.speech.SAMPLES_PER_CHUNK", 4096)
    monkeypatch.setattr("sadtalker_core.audio.mel.STEPS_PER_CHUNK", 16)
    channels, largest = torch.zeros(2, 960_000), 0
    given = channels.untyped_storage().data_ptr()

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            nonlocal largest
            out = function(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor) and out.untyped_storage().data_ptr() != given:
                largest = max(largest, out.nbytes)
            return out

    with Watch():
        speech = encode_speech(channels, 48_000)
    assert largest == speech.wave.nbytes == 320_000 * 4


@pytest.mark.parametrize("n_channels", [1, 2, 6])
def test_channels_are_averaged(n_channels):
    channels = torch.stack([a_tone(3200, pitch_hz=100.0 * (c + 1)) for c in range(n_channels)])
    expected = encode_speech(channels.mean(dim=0), 16000)
    for waveform in (channels, channels.unsqueeze(0)):
        torch.testing.assert_close(encode_speech(waveform, 16000).wave, expected.wave)


@pytest.mark.parametrize("scale", [1.0, -1.0, -0.95])
@pytest.mark.parametrize("dtype", [torch.float32, torch.int16, torch.uint8])
def test_channels_that_cancel_each_other_out_are_audible(scale, dtype, caplog):
    voice = a_tone(16000)
    channels = torch.stack([voice, scale * voice])
    if dtype != torch.float32:
        middle = 128 if dtype == torch.uint8 else 0
        channels = (channels * (127 if middle else 32767) + middle).round().to(dtype)
    encoded = encode_speech(channels, 16000)
    alone = encode_speech(channels[0], 16000)
    reported = [message for message in caplog.messages if "channel" in message]  # that a tone is no voice is said, too
    if scale > 0:
        torch.testing.assert_close(encoded.wave, alone.wave)
        assert not reported
    else:
        assert torch.equal(encoded.wave, alone.wave) and torch.equal(encoded.mel, alone.mel)
        assert reported == ["SadTalker: the 2 channels of the audio cancel each other out; channel 1 alone is used."]


def test_the_loudest_of_many_cancelling_channels_is_audible():
    voice = a_tone(16000)
    channels = torch.stack([0.5 * voice, -0.7 * voice, 0.7 * voice, -0.5 * voice, 0 * voice])
    torch.testing.assert_close(encode_speech(channels, 16000).wave, -0.7 * voice, rtol=0, atol=1e-6)


@pytest.mark.parametrize("n_channels", [2, 6, 8])
def test_a_voice_in_one_channel_alone_is_averaged_as_before(n_channels):
    channels = torch.zeros(n_channels, 16000)
    channels[1] = a_tone(16000)
    torch.testing.assert_close(encode_speech(channels, 16000).wave, channels[1] / n_channels)


@pytest.mark.parametrize(("n_channels", "rate_hz"), [(1, 16000), (2, 44100), (6, 8000)])
def test_a_long_voice_can_be_stopped_at_every_piece(n_channels, rate_hz, monkeypatch):
    monkeypatch.setattr("sadtalker_core.audio.speech.SAMPLES_PER_CHUNK", 4096)
    monkeypatch.setattr("sadtalker_core.audio.speech.STEPS_PER_CHUNK", 16)
    monkeypatch.setattr("sadtalker_core.audio.mel.STEPS_PER_CHUNK", 16)
    channels = torch.stack([a_tone(20_000, rate_hz)] * n_channels)
    calls = []
    whole = encode_speech(channels, rate_hz, on_progress=lambda done, total: calls.append((done, total)))
    assert torch.equal(whole.mel, encode_speech(channels, rate_hz).mel)
    total = calls[0][1]
    assert [done for done, _ in calls] == list(range(1, len(calls) + 1)) and {total for _, total in calls} == {total}
    assert total - 1 <= len(calls) <= total

    for last in (1, len(calls) // 2, len(calls)):

        def stop(done, total, last=last):
            if done == last:
                raise Cancelled

        with pytest.raises(Cancelled):
            encode_speech(channels, rate_hz, on_progress=stop)


@pytest.mark.parametrize(
    ("dtype", "scale", "middle"),
    [
        (torch.int16, 2**15, 0),
        (torch.int32, 2**31, 0),
        (torch.uint8, 2**7, 2**7),
        (torch.float64, 1, 0),
        (torch.float16, 1, 0),
    ],
)
def test_whole_numbers_and_other_floats_are_scaled_to_one(dtype, scale, middle):
    wave = a_tone(3200).double()
    stored = (wave * scale + middle).round().to(dtype) if scale > 1 else wave.to(dtype)
    tolerance = 1e-2 if dtype == torch.uint8 else 1e-3
    torch.testing.assert_close(encode_speech(stored, 16000).wave, wave.float(), rtol=0, atol=tolerance)


def test_silence_is_quiet_but_a_voice():
    speech = encode_speech(torch.zeros(2, 44100), 44100)
    assert speech.n_frames == 25
    assert (speech.windows() == -4).all()


def test_loudness_is_left_alone():
    wave = 1.7 * a_tone(3200) / 0.3
    torch.testing.assert_close(encode_speech(wave, 16000).wave, wave)


def test_the_waveform_is_left_untouched():
    wave = a_tone(3200)
    before = wave.clone()
    speech = encode_speech(wave, 16000)
    speech.wave.zero_()
    torch.testing.assert_close(wave, before, rtol=0, atol=0)


def test_a_window_begins_two_frames_before_its_frame():
    """A click at frame i is first heard in the window of frame i - 3, and last in that of frame i + 2."""
    wave = torch.zeros(640 * 30)
    wave[640 * 15] = 1.0
    loud = encode_speech(wave, 16000).windows().amax(dim=(1, 2, 3)) > -4
    assert torch.nonzero(loud).flatten().tolist() == [12, 13, 14, 15, 16, 17]


def test_windows_of_a_range_are_those_of_the_whole():
    speech = encode_speech(a_tone(640 * 20), 16000)
    torch.testing.assert_close(speech.windows(3, 9), speech.windows()[3:9], rtol=0, atol=0)


def test_an_idle_clip_is_zeros_not_silence():
    speech = idle_speech(2.5)
    assert speech.n_frames == 62
    assert speech.wave is None
    assert (speech.windows() == 0).all()
    assert speech.windows().shape == (62, 1, 80, 16)


@pytest.mark.parametrize("seconds", [0.0, -1.0, 0.01, float("nan"), float("inf")])
def test_an_idle_clip_needs_a_time(seconds):
    with pytest.raises(OptionError, match="idle_seconds"):
        idle_speech(seconds)


@pytest.mark.parametrize(
    ("waveform", "rate_hz", "sentence"),
    [
        (None, 16000, "does the video have an audio track"),
        (np.zeros(1000, dtype=np.float32), 16000, "ndarray"),
        (torch.zeros(0), 16000, "empty"),
        (torch.zeros(2, 0), 16000, "empty"),
        (torch.zeros(0, 1000), 16000, "empty"),
        (torch.zeros(1, 0, 1000), 16000, "empty"),
        (torch.zeros(0, 1, 1000), 16000, "empty"),
        (torch.zeros(2, 1, 1000), 16000, "batch of 2"),
        (torch.zeros(1, 1, 1, 1000), 16000, "shape"),
        (torch.tensor(1.0), 16000, "shape"),
        (torch.zeros(639), 16000, r"40 ms\), got 39.9 ms"),
        (torch.zeros(100), 44100, "longer audio"),
        (torch.zeros(1000), 0, "sample rate"),
        (torch.zeros(1000), -16000, "sample rate"),
        (torch.zeros(1000), float("nan"), "sample rate"),
        (torch.zeros(1000), 999, "from 1000 to 1e.06 Hz"),
        (torch.zeros(1000), 1_000_001, "from 1000 to 1e.06 Hz"),
        (torch.zeros(1000), 1e9, "sample rate"),
        (torch.zeros(1000), 10**400, "sample rate"),
        (torch.zeros(1000), "44100", "got the text '44100'"),
        (torch.zeros(1000), None, "sample rate"),
        (torch.zeros(1000), [44100, 48000], "sample rate"),
        (torch.full((1000,), float("nan")), 16000, "NaN"),
        (torch.cat([torch.zeros(5000), torch.tensor([float("inf")])]), 16000, "infinite"),
        (32767 * torch.ones(1000), 16000, "divide by 32768"),
        (torch.zeros(1000, dtype=torch.bool), 16000, "booleans"),
        (torch.zeros(1000, dtype=torch.complex64), 16000, "complex"),
    ],
)
def test_what_is_no_voice_gets_a_sentence(waveform, rate_hz, sentence):
    with pytest.raises(AudioError, match=sentence):
        encode_speech(waveform, rate_hz)


def test_windows_of_half_frames_lie_between_mel_steps():
    """On a mel track that rises by 1 a step, a window says where it begins: 3.2 steps a frame, 6.8 before frame 0."""
    mel = torch.arange(200.0)[:, None].expand(-1, 80)
    windows = SpeechWindows(mel, 50).half_frame_windows(10, 13)
    assert windows.shape == (7, 1, 80, 16)
    begins = torch.tensor([3.2 * (half / 2) - 6.8 for half in range(19, 26)])
    torch.testing.assert_close(windows[:, 0, 0], begins[:, None] + torch.arange(16.0))
    silent = SpeechWindows(torch.full((200, 80), -4.0), 50)
    assert (silent.half_frame_windows(-3, 60) == -4).all()
