"""A reference video, frame by frame: which frames count, at which box, and 25 rows a second whatever the frame rate."""

import math

import numpy as np
import pytest
import torch

from sadtalker_core import coefficients as layout
from sadtalker_core.canonical_face import HEAD_TO_IMAGE, load_canonical_face, rotation_of_angles
from sadtalker_core.coefficients import BLENDSHAPE_INDEX
from sadtalker_core.datatypes import CropMode
from sadtalker_core.errors import FaceNotFound, ImageError, OptionError, VideoError
from sadtalker_core.face import reference_video
from sadtalker_core.face.mesh import MeshLandmarks
from sadtalker_core.face.recon import FaceReconConfig, FaceReconNet
from sadtalker_core.face.reference_video import ROW, read_mini_video, read_released_video, resample_to_25
from tests.face.drawn_face import face_68

ANGLES = slice(224, 227)


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(3)
    return FaceReconNet(FaceReconConfig(stem=2, blocks=(1,), widths=(2,), expansion=2)).eval()


class Finder:
    """Follows a face whose middle is written into the red corner pixel of each frame; 0 means: no face."""

    def __init__(self):
        self.ahead = 0

    def follow(self, frames):
        for frame in frames:
            self.ahead += 1
            x = float(frame[0, 0, 0]) * 1000
            yield frame, None if x == 0 else face_68(x, 120, 60)
            self.ahead -= 1


def video(*places, size=(240, 320)):
    """One frame for each place of the face in pixels (0: none), of the same noise."""
    noise = torch.rand(*size, 3, generator=torch.Generator().manual_seed(7))
    for x in places:
        frame = noise.clone()
        frame[0, 0, 0] = x / 1000
        yield frame


def read(net, places, fps=25.0, **options):
    return read_released_video(net, Finder(), video(*places), fps, 256, **options)


def test_25_frames_a_second_give_a_row_for_each_frame(net):
    rows = read(net, [150, 151, 152, 153])
    assert rows.full_rows().shape == (4, 257) and rows.crop.shape == (4, 3) and rows.found.all()
    assert (rows.family, rows.crop_mode, rows.pic_size) == ("released", CropMode.CROP, 256)


def test_the_first_box_is_used_for_all_so_that_the_crop_parameters_follow_the_head(net):
    rows = read(net, [150, 170])
    box = 1.8 * 2 * 60  # about: what matters is that 20 pixels of the frame are not 0 in the square
    assert rows.crop[1, 1] - rows.crop[0, 1] == pytest.approx(20 * 256 / box, rel=0.6)


def test_a_box_that_follows_the_face_keeps_the_crop_parameters(net):
    rows = read(net, [150, 170], box_follows_face=True)
    torch.testing.assert_close(rows.crop[0], rows.crop[1])


def test_the_crop_parameters_are_in_pixels_of_the_portraits_square(net):
    small, large = (read_released_video(net, Finder(), video(150), 25, size).crop[0] for size in (256, 512))
    assert large[1] == pytest.approx(2 * float(small[1]), rel=1e-4)


def test_batches_do_not_change_the_rows(net):
    places = [150 + i for i in range(7)]
    one, many = (read(net, places, batch_size=n) for n in (1, 3))
    torch.testing.assert_close(one.full_rows(), many.full_rows(), atol=1e-5, rtol=1e-4)


def test_a_frame_that_lasts_longer_is_read_once_and_has_its_row_each_time(net, monkeypatch):
    one, two, none = video(150, 170, 0)
    sizes = []
    monkeypatch.setattr(
        reference_video, "read_faces", lambda net, faces: sizes.append(len(faces)) or torch.rand(len(faces), 257)
    )
    rows = read_released_video(net, Finder(), [one, one, none, none, two, two, two], 25, 256)
    assert sum(sizes) == 2 and rows.found.tolist() == [True, True, False, False, True, True, True]
    full = rows.full_rows()
    assert torch.equal(full[[0, 1, 2]], full[[1, 2, 3]]) and torch.equal(full[[4, 5]], full[[5, 6]])
    assert not torch.equal(full[3], full[4])


def test_held_frames_repeat_the_row_before_and_the_first_found_one_before_that(net):
    rows = read(net, [0, 0, 150, 0, 170, 0])
    whole = read(net, [150, 170])
    assert rows.found.tolist() == [False, False, True, False, True, False]
    torch.testing.assert_close(rows.crop, whole.crop[[0, 0, 0, 0, 1, 1]])


def test_skipped_frames_shorten_the_track(net):
    rows = read(net, [0, 150, 0, 170], missing_face="skip")
    assert len(rows) == 2 and rows.found.all()
    torch.testing.assert_close(rows.crop, read(net, [150, 170]).crop)


def test_an_error_names_the_frame_and_stops_there(net):
    done = []
    with pytest.raises(FaceNotFound, match="no face in frame 2 of the reference video"):
        read(net, [150, 150, 0, 150], missing_face="error", n_frames=2, on_progress=lambda *counts: done.append(counts))
    assert done == [(1, 2), (2, 2)], "a third would have been (3, 3)"


def test_a_face_too_small_to_read_counts_as_missing(net):
    def small(mode):
        return read_released_video(net, Finder(), video(150, size=(900, 1200)), 25, 64, mode=mode)

    assert small(CropMode.CROP).found.all()
    with pytest.raises(FaceNotFound, match="in any of the 1 frames"):
        small(CropMode.RESIZE)


@pytest.mark.parametrize("how", ["hold", "skip"])
def test_a_video_without_any_face_is_an_error(net, how):
    with pytest.raises(FaceNotFound, match="in any of the 3 frames"):
        read(net, [0, 0, 0], missing_face=how)


def test_an_empty_video_is_an_error(net):
    with pytest.raises(VideoError, match="no frames"):
        read(net, [])


@pytest.mark.parametrize("fps", [0, -25, math.nan, math.inf])
def test_an_impossible_frame_rate_is_refused(net, fps):
    with pytest.raises(VideoError, match="above 0"):
        read(net, [150], fps)


def test_an_unknown_way_with_missing_faces_is_refused(net):
    with pytest.raises(OptionError, match="'guess'"):
        read(net, [150], missing_face="guess")


def test_frames_of_two_sizes_are_refused_by_number(net):
    frames = [*video(150, 150), *video(150, size=(200, 200))]
    with pytest.raises(VideoError, match="frame 2 .* 200 x 200"):
        read_released_video(net, Finder(), frames, 25, 256)


def test_a_frame_with_nan_is_refused_by_number(net):
    frames = list(video(150, 150))
    frames[1][5, 5] = math.nan
    with pytest.raises(ImageError, match="^Frame 1 of the reference video"):
        read_released_video(net, Finder(), frames, 25, 256)


def test_progress_counts_frames_and_may_stop_the_reading(net):
    class Enough(Exception):
        pass

    def stop_at_2(done, total):
        if done == 2:
            raise Enough

    with pytest.raises(Enough):
        read(net, [150] * 9, on_progress=stop_at_2)


def test_no_more_than_a_batch_of_frames_is_alive(net):
    import weakref

    alive, most = weakref.WeakSet(), 0

    def frames():
        nonlocal most
        for frame in video(*[150] * 30):
            alive.add(frame)
            most = max(most, len(alive))
            yield frame

    read_released_video(net, Finder(), frames(), 25, 256, batch_size=4)
    assert most <= 6


# --------------------------------------------------------------------------------------------- 25 rows a second


def ramp(n_frames, fps):
    """Rows whose numbers are the time in seconds."""
    return (torch.arange(n_frames) / fps)[:, None].expand(n_frames, ROW).clone()


@pytest.mark.parametrize("fps", [24000 / 1001, 60, 10, 30000 / 1001, 50, 12.5, 25, 120, 15])
@pytest.mark.parametrize("n_frames", [1, 2, 7, 240])
def test_any_rate_keeps_its_time(fps, n_frames):
    rows, found = resample_to_25(ramp(n_frames, fps), torch.ones(n_frames, dtype=torch.bool), fps)
    assert abs(len(rows) / 25 - n_frames / fps) <= 0.04 and len(rows) == len(found) >= 1
    time = np.minimum(np.arange(len(rows)) / 25, (n_frames - 1) / fps)
    np.testing.assert_allclose(rows[:, 0].numpy(), time, atol=1e-4)


@pytest.mark.parametrize("n_frames", [1, 25, 1000, 9_999])
def test_25_a_second_pass_untouched(n_frames):
    rows = ramp(n_frames, 25)
    got, _ = resample_to_25(rows, torch.ones(n_frames, dtype=torch.bool), 25.0)
    assert torch.equal(got, rows)


def test_resampling_is_numpys_interpolation(generator):
    rows = torch.rand(40, ROW, generator=generator)
    got, _ = resample_to_25(rows, torch.ones(40, dtype=torch.bool), 30)
    expected = np.interp(np.arange(len(got)) / 25, np.arange(40) / 30, rows[:, 100].numpy())
    np.testing.assert_allclose(got[:, 100].numpy(), expected, atol=1e-6)


def test_angles_turn_the_shorter_way():
    rows = torch.zeros(3, ROW)
    rows[:, ANGLES] = torch.tensor([3.1, -3.1, 3.1])[:, None]
    got, _ = resample_to_25(rows, torch.ones(3, dtype=torch.bool), 12.5)
    turned = torch.remainder(got[:, ANGLES] - math.pi + 1, 2 * math.pi) - 1
    assert turned.abs().max() < 0.05


def test_the_angles_are_in_their_columns():
    parts = layout.split_row(torch.arange(257), layout.FULL_LAYOUT)
    assert parts["rotation"].tolist() == list(range(224, 227))


def test_a_row_between_a_found_and_a_held_frame_is_not_found():
    _, found = resample_to_25(ramp(3, 12.5), torch.tensor([True, False, True]), 12.5)
    assert found.tolist() == [True, False, False, False, True, True]


# --------------------------------------------------------------------------------------------------- the mini family


def test_the_mini_family_reads_the_meshes_it_follows(mean_face, monkeypatch):
    yaws = [0.0, 0.1, None, 0.3]

    def follow(detector, mesh, frames, selector):
        for frame, yaw in zip(frames, yaws, strict=True):
            if yaw is None:
                yield frame, None
                continue
            turn = rotation_of_angles(torch.tensor([[0.0, yaw, 0.0]]))[0]
            points = mean_face.template @ turn.T * 60
            yield frame, MeshLandmarks(points + torch.tensor([160.0, 120.0, 0.0]), 0.99)

    monkeypatch.setattr(reference_video, "follow_mesh", follow)
    rows = read_mini_video(None, None, mean_face, video(1, 1, 1, 1), 25, 256)
    assert rows.family == "mini" and rows.found.tolist() == [True, True, False, True]
    assert rows.rotation[:, 1].tolist() == pytest.approx([0.0, 0.1, 0.1, 0.3], abs=0.01)
    assert rows.crop_rows().shape == (4, 73)


def test_brows_and_gaze_of_a_clip_are_read_against_its_usual_ones(monkeypatch, mean_face):
    """Low brows that go up by .03 decimetres for two frames of seven, while the eyes look 10 degrees aside."""
    units = load_canonical_face().blendshapes[BLENDSHAPE_INDEX["browInnerUp"]]
    raised = [0, 0, 0, 1, 1, 0, 0]

    def follow(detector, mesh, frames, selector):
        for frame, up in zip(frames, raised, strict=True):
            head = mean_face.template - 0.02 * units.new_tensor([0, -1, 0]) * (units[:, 1:2] > 0.01)
            head = head + up * units * torch.tensor(HEAD_TO_IMAGE)
            yield frame, MeshLandmarks(head * 60 + torch.tensor([160.0, 120.0, 0.0]), 0.99)

    aside = iter([math.nan, 0.05, 0.05, 0.05 + 0.087, 0.05 + 0.087, 0.05, 0.05])
    monkeypatch.setattr(reference_video, "follow_mesh", follow)
    monkeypatch.setattr(reference_video, "find_irises", lambda image, points: torch.zeros(2, 3))
    monkeypatch.setattr(reference_video, "gaze_across", lambda irises, points: next(aside))
    rows = read_mini_video(None, None, mean_face, video(*[1] * 7), 25, 256).expression
    inner = rows[:, BLENDSHAPE_INDEX["browInnerUp"]]
    assert (inner[[3, 4]] > 0.5).all() and (inner[[0, 1, 2, 5, 6]] < 0.02).all()
    out, into = (rows[:, BLENDSHAPE_INDEX[name]] for name in ("eyeLookOutLeft", "eyeLookInRight"))
    assert out[[3, 4]].tolist() == pytest.approx([10 / 21] * 2, rel=0.05) and not out[[0, 1, 2, 5, 6]].any()
    assert into[3] == pytest.approx(10 / 22, rel=0.05)
