"""The mel spectrogram, held against librosa and scipy, which the released networks were trained with."""

import librosa
import numpy as np
import scipy.signal
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from sadtalker_core.audio import mel
from sadtalker_core.audio.mel import MEL_BANDS_FILE, mel_spectrogram, slaney_mel_bands
from sadtalker_core.training.mel_bands import main


def a_voice(n_samples, seed=0):
    """A hoarse vowel that swells and fades."""
    time = torch.arange(n_samples) / 16000
    noise = torch.randn(n_samples, generator=torch.Generator().manual_seed(seed))
    hum = sum(torch.sin(2 * torch.pi * 140 * k * time) / k for k in range(1, 12))
    return (0.1 * hum + 0.01 * noise) * torch.sin(3 * time).abs()


def librosa_mel(wave):
    emphasised = scipy.signal.lfilter([1, -0.97], [1], wave)
    magnitude = np.abs(librosa.stft(emphasised, n_fft=800, hop_length=200, win_length=800))
    bands = librosa.filters.mel(sr=16000, n_fft=800, n_mels=80, fmin=55, fmax=7600)
    decibels = 20 * np.log10(np.maximum(1e-5, bands @ magnitude)) - 20
    return np.clip(8 * (decibels + 100) / 100 - 4, -4, 4).T


def test_the_mel_bands_are_librosas():
    expected = librosa.filters.mel(sr=16000, n_fft=800, n_mels=80, fmin=55, fmax=7600)
    assert slaney_mel_bands().dtype == torch.float32
    np.testing.assert_array_equal(slaney_mel_bands().numpy(), expected)


def test_the_table_beside_the_code_is_the_scripts_byte_for_byte(tmp_path):
    main(["--out", str(tmp_path / "mel_bands.safetensors")])
    assert (tmp_path / "mel_bands.safetensors").read_bytes() == MEL_BANDS_FILE.read_bytes()


def test_the_bands_cannot_be_spoiled_by_their_reader():
    slaney_mel_bands().zero_()
    assert slaney_mel_bands().sum() > 0


def test_the_spectrogram_is_librosas():
    for n_samples in (1280, 6400, 12345):
        wave = a_voice(n_samples)
        np.testing.assert_allclose(mel_spectrogram(wave).numpy(), librosa_mel(wave.numpy()), atol=1e-5)


def test_pieces_make_the_same_spectrogram_as_the_whole(monkeypatch):
    wave = a_voice(16000)
    whole = mel_spectrogram(wave)
    for steps in (1, 7, 80, 81):
        monkeypatch.setattr(mel, "STEPS_PER_CHUNK", steps)
        torch.testing.assert_close(mel_spectrogram(wave), whole, rtol=0, atol=1e-6)


def test_the_work_in_between_is_no_larger_for_a_long_voice():
    class Largest(TorchDispatchMode):
        n_bytes = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            out = function(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor) and out.dtype in (torch.float64, torch.complex128):
                self.n_bytes = max(self.n_bytes, out.numel() * out.element_size())
            return out

    with Largest() as largest:
        mel_spectrogram(torch.zeros(300 * 16000))
    one_chunk_of_complex_numbers = 16 * 401 * mel.STEPS_PER_CHUNK
    assert largest.n_bytes <= one_chunk_of_complex_numbers < 300 * 16000 * 8


def test_silence_is_minus_four_and_a_roar_is_four():
    assert (mel_spectrogram(torch.zeros(1600)) == -4).all()
    assert (mel_spectrogram(5000 * torch.randn(1600, generator=torch.Generator().manual_seed(0))) == 4).all()


def test_a_shift_by_one_hop_is_a_shift_by_one_step():
    wave = a_voice(8000)
    later = torch.cat([torch.zeros(200), wave])
    torch.testing.assert_close(mel_spectrogram(later)[4:], mel_spectrogram(wave)[3:], rtol=0, atol=1e-6)


def test_ten_times_louder_is_twenty_decibels_more():
    wave = a_voice(8000)
    louder = mel_spectrogram(10 * wave)
    inside = (louder < 4) & (mel_spectrogram(wave) > -4)
    assert inside.float().mean() > 0.5
    torch.testing.assert_close((louder - mel_spectrogram(wave))[inside], torch.full((int(inside.sum()),), 1.6))


def test_two_samples_are_enough():
    assert mel_spectrogram(torch.tensor([0.1, -0.1])).shape == (1, 80)
