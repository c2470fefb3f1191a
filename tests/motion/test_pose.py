"""A voice becomes a head pose: blocks of 32 and what remains, seeds, styles, and a reference's movement."""

import math
from dataclasses import replace

import pytest
import torch

from sadtalker_core.errors import OptionError, WrongFamily
from sadtalker_core.motion.audio_encoder import AudioEncoderConfig
from sadtalker_core.motion.course import RETURN_S, connected
from sadtalker_core.motion.pose import pose_blocks, predict_motion, run_posevae
from sadtalker_core.motion.posevae import PoseVAE, PoseVAEConfig
from sadtalker_core.motion.smoothing import smooth


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def slow_motion(net, speech, start_pose, style, noise):
    """Block by block with plain lists of frames, one frame of audio at a time."""
    frames = list(range(1, speech.n_frames))
    rows = [torch.zeros(6)]

    def block(of_frames, z):
        audio_embedding = torch.cat([net.audio(speech.windows(i, i + 1)) for i in of_frames])
        return list(net.decode(z[None], audio_embedding[None], start_pose, torch.tensor([style]))[0])

    for b in range(len(frames) // 32):
        rows += block(frames[32 * b : 32 * b + 32], noise[b])
    rest = len(frames) % 32
    if rest:
        last = frames[-32:]
        rows += block([last[0]] * (32 - len(last)) + last, noise[-1])[-rest:]
    return torch.stack(rows)


@pytest.mark.parametrize("n_frames", [1, 2, 31, 32, 33, 34, 65, 70])
def test_blocks_and_what_remains(small_posevae, make_speech, make_face, n_frames):
    speech, pose = make_speech(n_frames), make_face().pose
    noise = torch.randn(pose_blocks(small_posevae, n_frames), 8, generator=seeded())
    with torch.no_grad():
        expected = slow_motion(small_posevae, speech, pose, 2, noise)
    motion = predict_motion(small_posevae, speech, pose, 2, noise)
    torch.testing.assert_close(motion, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("n_frames", "n_blocks"), [(1, 0), (2, 1), (32, 1), (33, 1), (34, 2), (65, 2), (66, 3)])
def test_a_clip_takes_one_draw_per_block(small_posevae, n_frames, n_blocks):
    assert pose_blocks(small_posevae, n_frames) == n_blocks


@pytest.mark.parametrize("n_frames", [1, 2, 3, 12, 13, 65])
def test_a_pose_is_the_portraits_plus_motion_smoothed(small_posevae, make_speech, make_face, n_frames):
    speech, face = make_speech(n_frames), make_face()
    noise = torch.randn(pose_blocks(small_posevae, n_frames), 8, generator=seeded())
    pose = run_posevae(small_posevae, speech, face, 0, noise=noise)
    motion = predict_motion(small_posevae, speech, face.pose, 0, noise)
    torch.testing.assert_close(pose.coefficients, smooth(face.pose + motion))
    assert pose.coefficients.dtype == torch.float32 and pose.family == "released"


@pytest.mark.parametrize("chunk", [1, 2, 3, 100])
def test_pieces_make_the_same_pose(small_posevae, make_speech, make_face, chunk):
    speech, face = make_speech(150), make_face()
    whole = run_posevae(small_posevae, speech, face, 1, generator=seeded())
    pieces = run_posevae(small_posevae, speech, face, 1, generator=seeded(), chunk=chunk)
    torch.testing.assert_close(pieces.coefficients, whole.coefficients, rtol=1e-5, atol=1e-6)


def slow_course(net, speech, start_pose, style, noise):
    """Frame by frame: what the two blocks that lie over a frame say, faded, added up, leaking."""
    noise, n = connected(noise), speech.n_frames
    rows, kept = [torch.zeros(6)], math.exp(-1 / (RETURN_S * 25))
    blocks = []
    for b, z in enumerate(noise):
        of_clip = [min(1 + 16 * b + k, n - 1) for k in range(32)]
        audio_embedding = torch.cat([net.audio(speech.windows(i, i + 1)) for i in of_clip])
        blocks.append(net.decode(z[None], audio_embedding[None], start_pose, torch.tensor([style]))[0])
    for i in range(n - 1):
        b, k = divmod(i, 16)
        share = 0.5 - 0.5 * math.cos(math.pi * (k + 0.5) / 16)
        before = blocks[b - 1][16 + k] if b else torch.zeros(6)
        rows.append(kept * rows[-1] + share * blocks[b][k] + (1 - share) * before)
    return torch.stack(rows)


@pytest.mark.parametrize("n_frames", [1, 2, 16, 17, 18, 33, 34, 70, 130])
def test_changes_become_one_course(changing_posevae, make_speech, make_face, n_frames):
    speech, pose, net = make_speech(n_frames), make_face().pose, changing_posevae
    noise = torch.randn(pose_blocks(net, n_frames), net.config.latent, generator=seeded())
    with torch.no_grad():
        expected = slow_course(net, speech, pose, 2, noise)
    for chunk in (1, 2, 5):
        motion = predict_motion(net, speech, pose, 2, noise, chunk)
        torch.testing.assert_close(motion, expected, rtol=1e-4, atol=1e-5)


def test_a_longer_clip_begins_like_a_shorter_one_but_for_its_last_frames(changing_posevae, make_speech, make_face):
    long = make_speech(200)
    short = replace(long, n_frames=120)
    one, other = (
        run_posevae(changing_posevae, speech, make_face(), 1, generator=seeded()).coefficients
        for speech in (short, long)
    )
    torch.testing.assert_close(one[: 120 - 32], other[: 120 - 32], rtol=1e-4, atol=1e-5)


def test_the_progress_of_a_course_counts_its_blocks(changing_posevae, make_speech, make_face):
    seen = []
    run_posevae(
        changing_posevae,
        make_speech(70),
        make_face(),
        0,
        generator=seeded(),
        chunk=1,
        on_progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(1, 5), (3, 5), (5, 5)]


def test_a_latent_too_short_for_waves_is_refused():
    with pytest.raises(ValueError, match="at least 36 numbers"):
        PoseVAEConfig(latent=8, changes=True)


def test_the_seed_and_the_style_matter_and_nothing_global_does(small_posevae, make_speech, make_face):
    speech, face = make_speech(40), make_face()

    def pose(seed, style):
        return run_posevae(small_posevae, speech, face, style, generator=seeded(seed)).coefficients

    first = pose(0, 0)
    torch.manual_seed(123)
    before = torch.get_rng_state()
    assert torch.equal(pose(0, 0), first)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(pose(1, 0), first)
    assert not torch.equal(pose(0, 1), first)


def test_a_seed_draws_the_latents_that_the_original_draws(make_speech, make_face, lively):
    """The original draws one row of 64 for each block, from torch's own generator."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = lively(PoseVAE(PoseVAEConfig(AudioEncoderConfig(width=1), decoder_hidden=4, unet_widths=(1, 1, 1, 1))))
        torch.manual_seed(7)
        noise = torch.cat([torch.randn(1, 64) for _ in range(pose_blocks(net, 70))])
    drawn = run_posevae(net, make_speech(70), make_face(), 0, generator=seeded(7))
    given = run_posevae(net, make_speech(70), make_face(), 0, noise=noise)
    assert len(noise) == 3 and torch.equal(drawn.coefficients, given.coefficients)


def test_a_reference_adds_its_movement_after_the_smoothing(small_posevae, make_speech, make_face):
    speech, face, reference = make_speech(40), make_face(), make_face(40, seed=5)
    alone = run_posevae(small_posevae, speech, face, 0, generator=seeded())
    led = run_posevae(small_posevae, speech, face, 0, generator=seeded(), reference=reference)
    torch.testing.assert_close(led.coefficients - alone.coefficients, reference.pose - reference.pose[:1])


def test_progress_counts_the_blocks(small_posevae, make_speech, make_face):
    seen = []
    run_posevae(
        small_posevae,
        make_speech(70),
        make_face(),
        0,
        generator=seeded(),
        chunk=1,
        on_progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_a_net_in_double_precision_gets_what_it_needs(small_posevae, make_speech, make_face):
    single = run_posevae(small_posevae, make_speech(40), make_face(), 0, generator=seeded()).coefficients
    double = run_posevae(small_posevae.double(), make_speech(40), make_face(), 0, generator=seeded()).coefficients
    assert double.dtype == torch.float32
    torch.testing.assert_close(double, single, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("style", [-1, 5, 46])
def test_a_style_that_was_never_trained_gets_a_sentence(small_posevae, make_speech, make_face, style):
    """The original takes -1 for 45, as Python counts."""
    with pytest.raises(OptionError, match=f"pose_style between 0 and 4, got {style}"):
        run_posevae(small_posevae, make_speech(5), make_face(), style, generator=seeded())


def test_what_does_not_fit_gets_a_sentence(small_posevae, make_speech, make_face, make_mini_face):
    speech, face = make_speech(5), make_face()
    with pytest.raises(OptionError, match="5 frames of reference, got 4"):
        run_posevae(small_posevae, speech, face, 0, generator=seeded(), reference=make_face(4))
    with pytest.raises(WrongFamily):
        run_posevae(small_posevae, speech, face, 0, generator=seeded(), reference=make_mini_face(5))
    with pytest.raises(OptionError, match=r"noise \(1, 8\) for 5 frames, got \(2, 8\)"):
        run_posevae(small_posevae, speech, face, 0, noise=torch.zeros(2, 8))
    with pytest.raises(OptionError, match="neither"):
        run_posevae(small_posevae, speech, face, 0)
