"""Where a video is split: the face is written into a corner pixel, and a finder reads it there."""

import pytest
import torch

from sadtalker_core.datatypes import Box
from sadtalker_core.errors import FaceNotFound
from sadtalker_core.training import scene_cuts
from sadtalker_core.training.scene_cuts import Span, find_spans
from tests.face.drawn_face import face_68

BOX_SIDE = 218  # of face_68 with 60 pixels between the outer corners of the eyes


class Finder:
    """Follows the face whose middle (in pixels, / 1000) is red in the first pixel; 0: none. Looks ahead by a few."""

    def __init__(self, ahead=1):
        self.ahead, self.n_looks = ahead, 0

    def follow(self, frames):
        waiting = []
        for frame in frames:
            waiting.append(frame)
            if len(waiting) == self.ahead:
                yield from map(self.look, waiting)
                waiting = []
        yield from map(self.look, waiting)

    def look(self, frame):
        self.n_looks += 1
        x, size = (round(float(v) * 1000) for v in frame[0, 0, :2])
        return frame, face_68(x, 120, size) if x else None


def video(*places, size=60, brightness=0.5):
    for x in places:
        frame = torch.full((240, 400, 3), brightness)
        frame[0, 0] = torch.tensor([x / 1000, size / 1000, 0])
        yield frame


def spans(images, finder=None):
    found = list(
        find_spans(images, finder or Finder(), lambda image, points: Box(round(float(image[0, 0, 0]) * 1000), 0, 9, 9))
    )
    return [(span.start, span.stop, span.box.x) for span in found]


def test_a_head_that_stays_is_one_span():
    assert spans(video(*[200, 205, 210, 205] * 5)) == [(0, 20, 200)]


def test_a_span_ends_where_the_face_is_not_found_and_begins_again_soon_after_it_is():
    assert spans(video(*[200] * 6, *[0] * 7, *[230] * 9)) == [(0, 6, 200), (16, 22, 230)]


def test_a_change_of_the_whole_image_is_a_cut():
    images = [*video(*[200] * 5), *video(*[200] * 5, brightness=0.7)]
    assert spans(images) == [(0, 5, 200), (5, 10, 200)]


def test_a_face_that_jumps_is_a_cut():
    assert spans(video(*[150] * 4, *[150 + BOX_SIDE // 3] * 4)) == [(0, 4, 150), (4, 8, 222)]


def test_a_head_that_moves_away_gets_a_new_box():
    places = list(range(120, 260, 10))
    first, second, *_ = spans(video(*places))
    assert first[:2] == (0, second[0]) and abs(places[second[0]] - 120 - BOX_SIDE / 4) < 10
    assert second[2] == places[second[0]]


def test_a_head_that_comes_much_nearer_gets_a_new_box():
    images = [image for size in range(40, 70, 2) for image in video(200, size=size)]
    assert spans(images)[0][:2] == (0, 9)  # 40 * 1.4 = 56


def test_long_takes_are_cut(monkeypatch):
    monkeypatch.setattr(scene_cuts, "LONGEST", 8)
    assert spans(video(*[200] * 20)) == [(0, 8, 200), (8, 16, 200), (16, 20, 200)]


@pytest.mark.parametrize("ahead", [2, 8, 100])
def test_a_finder_that_looks_ahead_changes_nothing(ahead):
    places = [200] * 7 + [0] * 3 + [200] * 9 + [300] * 12
    assert spans(video(*places), Finder(ahead)) == spans(video(*places))


def test_few_images_are_looked_at_while_no_face_is_in_sight():
    finder = Finder()
    assert spans(video(*[0] * 100), finder) == [] and finder.n_looks == 20


def test_points_that_make_no_box_are_no_face():
    def refuse(image, points):
        raise FaceNotFound("off the picture")

    assert list(find_spans(video(*[200] * 10), Finder(), refuse)) == []


def test_an_empty_video_has_no_spans():
    assert spans(video()) == []


def test_a_span_of_one_frame_is_a_span():
    assert list(find_spans(video(200), Finder(), lambda *_: Box(1, 2, 3, 4))) == [Span(0, 1, Box(1, 2, 3, 4))]
