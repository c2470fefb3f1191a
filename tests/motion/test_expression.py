"""A voice becomes an expression track: in pieces or at once, for any length, with or without a reference."""

from dataclasses import replace

import pytest
import torch

from sadtalker_core.errors import OptionError, WrongFamily
from sadtalker_core.motion.expression import face_at_rest, run_expnet


@pytest.mark.parametrize("n_frames", [1, 2, 31, 32, 33, 65])
def test_every_length_makes_one_row_per_frame(small_expnet, make_speech, make_face, n_frames):
    expression = run_expnet(small_expnet, make_speech(n_frames), make_face(), torch.zeros(n_frames))
    assert expression.coefficients.shape == (n_frames, 64)
    assert expression.coefficients.dtype == torch.float32 and not expression.coefficients.requires_grad
    assert expression.family == "released"


def test_a_row_is_the_net_at_that_frame(small_expnet, make_speech, make_face):
    speech, face, blink = make_speech(9), make_face(), torch.linspace(0, 1, 9)
    track = run_expnet(small_expnet, speech, face, blink).coefficients
    for i in (0, 4, 8):
        with torch.no_grad():
            row = small_expnet(speech.windows(i, i + 1), face.expression, blink[i : i + 1])[0]
        torch.testing.assert_close(track[i], row, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("chunk", [1, 7, 40, 1000])
def test_pieces_make_the_same_track(small_expnet, make_speech, make_face, chunk):
    speech, face, blink = make_speech(40), make_face(), torch.rand(40, generator=torch.Generator().manual_seed(0))
    whole = run_expnet(small_expnet, speech, face, blink)
    pieces = run_expnet(small_expnet, speech, face, blink, chunk=chunk)
    torch.testing.assert_close(pieces.coefficients, whole.coefficients, rtol=1e-5, atol=1e-6)


def test_a_reference_stands_in_for_the_face_at_rest(small_expnet, make_speech, make_face):
    """The head of the network is linear, so half the reference moves the face half as far."""
    speech, face, reference, blink = make_speech(6), make_face(), make_face(6, seed=2), torch.zeros(6)

    def track(**options):
        return run_expnet(small_expnet, speech, face, blink, **options).coefficients

    none, half, whole = track(), track(reference=reference, reference_weight=0.5), track(reference=reference)
    torch.testing.assert_close(track(reference=reference, reference_weight=0.0), none)
    torch.testing.assert_close(half, (none + whole) / 2, rtol=1e-4, atol=1e-5)
    assert (whole - none).abs().max() > 0.1
    assert torch.equal(face_at_rest(face, 6, reference), reference.expression)


def test_progress_counts_the_frames(small_expnet, make_speech, make_face):
    seen = []
    run_expnet(
        small_expnet,
        make_speech(25),
        make_face(),
        torch.zeros(25),
        chunk=10,
        on_progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(10, 25), (20, 25), (25, 25)]


def test_who_listens_to_the_progress_can_stop_it(small_expnet, make_speech, make_face):
    class Stop(Exception):
        pass

    def stop(done, total):
        raise Stop

    with pytest.raises(Stop):
        run_expnet(small_expnet, make_speech(25), make_face(), torch.zeros(25), on_progress=stop)


def test_a_net_in_double_precision_gets_what_it_needs(small_expnet, make_speech, make_face):
    speech, face, blink = make_speech(5), make_face(), torch.zeros(5)
    single = run_expnet(small_expnet, speech, face, blink).coefficients
    double = run_expnet(small_expnet.double(), speech, face, blink).coefficients
    assert double.dtype == torch.float32
    torch.testing.assert_close(double, single, rtol=1e-4, atol=1e-5)


def test_nothing_that_came_in_is_written_on(small_expnet, make_speech, make_face):
    speech, face, blink = make_speech(5), make_face(), torch.zeros(5)
    before = [speech.mel.clone(), face.expression.clone(), blink.clone()]
    run_expnet(small_expnet, speech, face, blink, reference=make_face(5)).coefficients.zero_()
    for now, then in zip([speech.mel, face.expression, blink], before, strict=True):
        assert torch.equal(now, then)


def test_what_does_not_fit_gets_a_sentence(small_expnet, make_speech, make_face, make_mini_face):
    speech, face, blink = make_speech(5), make_face(), torch.zeros(5)
    with pytest.raises(OptionError, match="5 frames of blink, got 4"):
        run_expnet(small_expnet, speech, face, blink[:4])
    with pytest.raises(OptionError, match="5 frames of reference, got 3"):
        run_expnet(small_expnet, speech, face, blink, reference=make_face(3))
    with pytest.raises(WrongFamily, match="the reference was made with a mini model"):
        run_expnet(small_expnet, speech, face, blink, reference=make_mini_face(5))
    with pytest.raises(OptionError, match="NaN"):
        run_expnet(small_expnet, speech, face, blink * float("nan"))


def test_a_net_that_looks_ahead_gets_in_each_frame_the_window_of_the_next(small_expnet, make_speech, make_mini_face):
    speech, face, blink = make_speech(70), make_mini_face(), torch.zeros(70)
    plain = run_expnet(small_expnet, speech, face, blink).coefficients
    small_expnet.config = replace(small_expnet.config, ahead=True)
    ahead = run_expnet(small_expnet, speech, face, blink).coefficients
    torch.testing.assert_close(ahead[:-1], plain[1:])
    assert (ahead[:-1] - plain[:-1]).abs().max() > 1e-3


def test_a_net_with_half_frames_gets_the_mean_of_three_windows(small_expnet, make_speech, make_mini_face):
    """The head is linear: the mean of what it says at its frame, and half a frame before and after."""
    speech, face, blink = make_speech(70), make_mini_face(), torch.zeros(70)
    small_expnet.config = replace(small_expnet.config, half_frames=True)
    track = run_expnet(small_expnet, speech, face, blink).coefficients
    rest = face.expression[:1]
    with torch.no_grad():
        predicted = torch.cat([small_expnet(w[None], rest, torch.zeros(1)) for w in speech.half_frame_windows(0, 70)])
    torch.testing.assert_close(
        track, torch.stack([predicted[0:-1:2], predicted[1::2], predicted[2::2]]).mean(0), rtol=1e-4, atol=1e-5
    )
    for chunk in (1, 7, 1000):
        torch.testing.assert_close(
            run_expnet(small_expnet, speech, face, blink, chunk=chunk).coefficients, track, rtol=1e-5, atol=1e-6
        )
