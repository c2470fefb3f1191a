"""What will teach nothing is said before the work begins, each thing once."""

from __future__ import annotations

from sadtalker_core.training.summary import SpeakerSummary, warnings_of


def speaker(name: str, seconds: float = 60.0, face_pixels: int = 200, degrees=(2.0, 3.0, 1.0), mouth: float = 0.03):
    return SpeakerSummary(name, seconds, 1, 1, face_pixels, degrees, mouth)


def test_a_minute_of_somebody_who_moves_is_no_reason_for_a_warning():
    assert warnings_of([speaker("anna"), speaker("ben")]) == []


def test_slides_a_small_face_and_little_of_all_are_named():
    warnings = warnings_of(
        [speaker("slides", degrees=(0.1, 0.2, 0.1), mouth=0.001), speaker("far", face_pixels=70), speaker("anna")]
    )
    assert [line.partition(":")[0] for line in warnings] == ["slides", "far"] and "70 pixels" in warnings[1]
    (line,) = warnings_of([speaker("anna", 1.3)])[:1]
    assert line.startswith("1.3 seconds in all")


def test_many_short_speakers_are_one_warning():
    (line,) = warnings_of([speaker(f"s{number}", 4.5) for number in range(20)])
    assert line.endswith("s0 4.5 s, s1 4.5 s, s2 4.5 s and 17 more.")
    (line,) = warnings_of([speaker("anna"), speaker("ben", 9.0)])
    assert line.endswith(": ben 9.0 s.")
