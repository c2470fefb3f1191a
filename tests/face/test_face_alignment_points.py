"""The 68 points by the face-alignment package: with a stand-in for its networks, and with its networks without
training.
"""

import socket
import sys
import types

import numpy as np
import pytest
import torch

from sadtalker_core.datatypes import Box
from sadtalker_core.errors import CheckpointDamaged, CheckpointMissing, FaceNotFound, OptionError
from sadtalker_core.face.face_alignment_points import DETECTOR_FILE, LANDMARKS_FILE, FaceAlignmentPoints, build
from sadtalker_core.face.points import FaceSelector
from tests.face.drawn_face import face_68

URL = "https://example.invalid/python-fan/"


class StandIn:
    """Behaves as the package: sees a bright patch as a face, and puts a drawn face into each box it is given."""

    built: list = []

    def __init__(self, landmarks_type, device="cuda", face_detector_kwargs=None, compile=True, max_batch_size=1):
        from face_alignment import api

        torch.backends.cudnn.benchmark = True
        self.files = [face_detector_kwargs["path_to_detector"], api.load_file_from_url(URL + LANDMARKS_FILE)]
        self.device, self.compiled, self.batch = device, compile, max_batch_size
        self.face_detector = types.SimpleNamespace(detect_from_batch=self.detect)
        self.looks: list[int] = []
        StandIn.built.append(self)

    def detect(self, batch):
        torch.backends.cudnn.benchmark = True
        self.looks.append(len(batch))
        assert batch.shape[1] == 3 and batch.max() > 1.5  # RGB planes in 0..255
        return [self.patches(image[0].numpy()) for image in batch]

    @staticmethod
    def patches(plane):
        found = []
        for level in (200, 255):
            rows, columns = np.nonzero(abs(plane - level) < 20)
            if len(rows):
                found.append(np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1, 0.9]))
        return found

    def get_landmarks_from_image(self, image, detected_faces):
        assert image.dtype == np.uint8
        out = []
        for left, top, right, bottom, _ in detected_faces:
            out.append(face_68((left + right) / 2, (top + bottom) / 2, 0.6 * (right - left)).numpy())
        return out


@pytest.fixture
def package(monkeypatch):
    """A stand-in for the package in sys.modules; its downloader fails loudly."""

    def download(url, *_, **__):
        raise AssertionError(f"downloads {url}")

    module = types.ModuleType("face_alignment")
    module.api = types.ModuleType("face_alignment.api")
    module.api.load_file_from_url = download
    module.FaceAlignment, module.LandmarksType = StandIn, types.SimpleNamespace(TWO_D=1)
    monkeypatch.setitem(sys.modules, "face_alignment", module)
    monkeypatch.setitem(sys.modules, "face_alignment.api", module.api)
    StandIn.built.clear()
    return module


@pytest.fixture
def folder(tmp_path):
    for name in (DETECTOR_FILE, LANDMARKS_FILE):
        (tmp_path / name).write_bytes(b"weights")
    return tmp_path


def image_with(*faces, size=(300, 400)):
    """Bright patches (x, y, side, level) on black."""
    image = torch.zeros(*size, 3)
    for x, y, side, level in faces:
        image[y : y + side, x : x + side] = level / 255
    return image


def middle(points):
    return ((points.amin(0) + points.amax(0)) / 2).tolist()


SMALL, LARGE = (30, 40, 40, 200), (200, 100, 100, 255)


def test_the_largest_face_is_taken_unless_another_is_selected(package, folder):
    image = image_with(SMALL, LARGE)
    assert middle(FaceAlignmentPoints(folder)(image)) == pytest.approx([250, 150], abs=10)
    second = FaceAlignmentPoints(folder, selector=FaceSelector(index=1))
    assert middle(second(image)) == pytest.approx([50, 60], abs=5)


def test_both_nets_get_their_colours_in_the_order_red_green_blue(package, folder, monkeypatch):
    """What the package asks for; the original hands its own networks RGB where they expect BGR."""
    seen = {}

    class Watched(StandIn):
        def detect(self, batch):
            seen["detector"] = batch[0, :, 150, 250].tolist()
            return super().detect(batch)

        def get_landmarks_from_image(self, image, detected_faces):
            seen["landmarks"] = image[150, 250].tolist()
            return super().get_landmarks_from_image(image, detected_faces)

    monkeypatch.setattr(package, "FaceAlignment", Watched)
    image = image_with(LARGE)
    image[100:200, 200:300, 1:] = torch.tensor([20, 10]) / 255
    FaceAlignmentPoints(folder)(image)
    assert seen == {"detector": [255, 20, 10], "landmarks": [255, 20, 10]}


def test_the_face_nearest_to_the_given_box_is_taken(package, folder):
    image = image_with(SMALL, LARGE)
    box = Box(20, 20, 60, 60)
    assert middle(FaceAlignmentPoints(folder)(image, box)) == pytest.approx([50, 60], abs=5)
    assert middle(FaceAlignmentPoints(folder, selector=FaceSelector(box=box))(image)) == pytest.approx([50, 60], abs=5)


def test_a_users_box_is_trusted_where_no_face_is_detected(package, folder):
    finder = FaceAlignmentPoints(folder, selector=FaceSelector(box=Box(100, 100, 80, 80)))
    assert middle(finder(image_with((0, 0, 5, 100)))) == pytest.approx([140, 140], abs=8)


@pytest.mark.parametrize("near", [None, Box(10, 10, 50, 50)])
def test_no_face_is_a_sentence(package, folder, near):
    with pytest.raises(FaceNotFound, match="no face found"):
        FaceAlignmentPoints(folder)(image_with((0, 0, 5, 100)), near)


def test_a_large_image_is_shrunk_for_the_detector_and_the_points_are_those_of_the_image(package, folder):
    points = FaceAlignmentPoints(folder)(image_with((1200, 800, 600, 255), size=(2000, 2560)))
    assert middle(points) == pytest.approx([1500, 1100], abs=60)


def test_a_video_is_looked_at_in_batches_and_follows_the_same_face(package, folder):
    frames = [image_with((30 + 5 * i, 40, 40, 200), (300 - 9 * i, 100, 60 - 4 * i, 255)) for i in range(10)]
    frames[4] = image_with((0, 0, 5, 100))
    finder = FaceAlignmentPoints(folder, batch_size=4)
    seen = list(finder.follow(iter(frames)))
    assert [points is None for _, points in seen] == [i == 4 for i in range(10)]
    assert all(torch.equal(frame, own) for (frame, _), own in zip(seen, frames, strict=True))
    for i, (_, points) in enumerate(seen):
        if points is not None:
            assert middle(points) == pytest.approx([300 - 9 * i + 30 - 2 * i, 130 - 2 * i], abs=6)
    assert StandIn.built[0].looks == [4, 4, 2]


def test_a_video_is_never_read_further_ahead_than_a_batch(package, folder):
    read = []

    def frames():
        for i in range(20):
            read.append(i)
            yield image_with(LARGE)

    following = FaceAlignmentPoints(folder, batch_size=3).follow(frames())
    next(following)
    assert len(read) == 3


def test_the_nets_are_built_once_with_the_files_of_the_folder_and_not_compiled(package, folder):
    finder = FaceAlignmentPoints(folder, torch.device("cuda:0"))
    assert not StandIn.built
    finder(image_with(LARGE))
    finder(image_with(LARGE))
    (nets,) = StandIn.built
    assert nets.files == [str(folder / DETECTOR_FILE), str(folder / LANDMARKS_FILE)]
    assert nets.device == "cuda:0" and nets.compiled is False


def test_a_device_the_package_does_not_know_becomes_the_cpu(package, folder):
    assert FaceAlignmentPoints(folder, "meta").device == "cpu"


def test_what_the_package_changes_for_the_whole_process_is_put_back(package, folder):
    fetching, hub = package.api.load_file_from_url, torch.hub.get_dir()
    FaceAlignmentPoints(folder)(image_with(LARGE))
    assert torch.backends.cudnn.benchmark is False
    assert package.api.load_file_from_url is fetching and torch.hub.get_dir() == hub


@pytest.mark.parametrize("error, raised", [(RuntimeError, CheckpointDamaged), (ValueError, ValueError)])
def test_it_is_put_back_after_an_error_too(package, folder, monkeypatch, error, raised):
    def fails(*_, **__):
        torch.backends.cudnn.benchmark = True
        raise error("nets")

    fetching = package.api.load_file_from_url
    monkeypatch.setattr(StandIn, "__init__", fails)
    with pytest.raises(raised):
        build(folder)
    assert package.api.load_file_from_url is fetching and torch.backends.cudnn.benchmark is False


@pytest.mark.parametrize("name", [DETECTOR_FILE, LANDMARKS_FILE])
def test_a_missing_file_is_named_and_not_downloaded(package, folder, name):
    (folder / name).unlink()
    with pytest.raises(CheckpointMissing, match=f"{name}, which is not in .* Expected: seven bytes.$"):
        FaceAlignmentPoints(folder, expected={name: "seven bytes"})(image_with(LARGE))


def test_a_missing_package_is_a_sentence_that_names_the_way_out(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "face_alignment", None)
    with pytest.raises(OptionError, match="pip install face-alignment.*embedded mesh"):
        FaceAlignmentPoints(folder)(image_with(LARGE))


@pytest.fixture(scope="module")
def untrained_folder(tmp_path_factory):
    """Files in the package's own layout, with the numbers its networks start from."""
    from face_alignment.detection.sfd.net_s3fd import s3fd
    from face_alignment.models import FAN

    folder = tmp_path_factory.mktemp("untrained")
    torch.manual_seed(0)
    torch.save(s3fd().state_dict(), folder / DETECTOR_FILE)
    torch.save(FAN(4).state_dict(), folder / LANDMARKS_FILE)
    return folder


@pytest.mark.slow
def test_the_real_package_works_from_the_folder_without_a_network_on_stacked_frames(
    untrained_folder, monkeypatch, generator
):
    def refuse(*_, **__):
        raise AssertionError("opens a connection")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    finder = FaceAlignmentPoints(untrained_folder, selector=FaceSelector(box=Box(20, 10, 70, 80)), batch_size=2)
    finder._nets().flip_input = False  # half the work
    frames = [torch.rand(128, 128, 3, generator=generator) for _ in range(2)]
    assert len(finder._detect(torch.stack(frames)[:, :32, :32])) == 2

    face = finder._choose([], frames[0], None)
    monkeypatch.setattr(finder, "_detect", lambda images, quarters=0: [[face]] * len(images))
    _, (_, second) = finder.follow(frames)
    alone = finder(frames[1])
    # without training a heat map has near ties, and a few points jump from one to the other
    assert (second - alone).abs().median() <= 1


@pytest.mark.slow
def test_the_real_package_and_a_damaged_file_make_a_sentence(untrained_folder, tmp_path):
    (tmp_path / DETECTOR_FILE).write_bytes((untrained_folder / DETECTOR_FILE).read_bytes())
    (tmp_path / LANDMARKS_FILE).write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(CheckpointDamaged, match="cannot be read .* Expected: one of these; one of those.$"):
        build(tmp_path, expected={DETECTOR_FILE: "one of these", LANDMARKS_FILE: "one of those"})
