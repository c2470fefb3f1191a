"""The second network of the built-in ExpNet: folded as trained, in pieces as at once, its share of the prediction."""

from __future__ import annotations

import pytest
import torch

from sadtalker_core.datatypes import SpeechWindows
from sadtalker_core.motion.expression import run_expnet
from sadtalker_core.motion.temporal import FoldedTemporalNet, TemporalConfig, at_frames, steps_around


def test_the_margin_is_what_the_convolutions_take_from_each_side(double_expnet):
    net = double_expnet.temporal
    assert net.config.margin == 2 + 2 * (1 + 2 + 4)
    assert TemporalConfig(width=128, blocks=6).margin / 80 == 0.375  # seconds
    with torch.no_grad():
        assert net(torch.randn(2, 2 * net.config.margin + 3, 80)).shape == (2, 3, 5)


def test_frames_are_read_between_the_mel_steps_around_their_middles():
    """Embeddings that rise by 1 a step say where a frame is read."""
    read = at_frames(torch.arange(10.0, 60.0)[:, None], 10, range(3, 12))
    torch.testing.assert_close(read[:, 0], 3.2 * torch.arange(3, 12) + 1.6)


def test_folded_it_embeds_as_in_training(double_expnet, make_speech):
    net, speech, frames = double_expnet.temporal, make_speech(40), range(3, 30)
    steps = steps_around(frames, net.config.margin)
    with torch.no_grad():
        unfolded = net(speech.steps(steps.start, steps.stop)[None])
    expected = at_frames(unfolded, steps.start + net.config.margin, frames)[0]
    torch.testing.assert_close(FoldedTemporalNet(net)(speech, frames, torch.empty(())), expected, rtol=1e-4, atol=1e-5)


def test_a_sound_reaches_the_frames_within_the_margin_and_no_others(double_expnet, make_speech):
    speech, embed = make_speech(60), FoldedTemporalNet(double_expnet.temporal)
    mel = speech.mel.clone()
    mel[100] += 1.0
    like = torch.empty(())
    changed = (embed(SpeechWindows(mel, 60), range(60), like) - embed(speech, range(60), like)).abs().amax(dim=1) > 1e-6
    reached = torch.nonzero(changed).flatten() * 3.2 + 1.6 - 100
    assert reached.abs().max() < double_expnet.config.temporal.margin + 1
    assert len(reached) > 5


@pytest.mark.parametrize("n_frames", [1, 2, 33, 70])
def test_a_row_is_three_parts_windows_and_one_the_track_in_pieces_or_at_once(
    double_expnet, make_speech, make_mini_face, n_frames
):
    speech, face, blink = make_speech(n_frames), make_mini_face(), torch.linspace(0, 1, n_frames)
    track = run_expnet(double_expnet, speech, face, blink).coefficients
    rest = face.expression.expand(n_frames, -1)
    with torch.no_grad():
        embedded = FoldedTemporalNet(double_expnet.temporal)(speech, range(n_frames), torch.empty(()))
        second = double_expnet.temporal.from_embedding(embedded, rest, blink)
        first = double_expnet(speech.windows(), rest, blink)
    assert (first - second).abs().max() > 1e-2
    torch.testing.assert_close(track, 0.75 * first + 0.25 * second, rtol=1e-4, atol=1e-5)
    for chunk in (1, 7, 1000):
        pieces = run_expnet(double_expnet, speech, face, blink, chunk=chunk).coefficients
        torch.testing.assert_close(pieces, track, rtol=1e-4, atol=1e-5)
