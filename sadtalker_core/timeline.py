"""Samples, mel steps and video frames: the one place that knows how they count.

The networks take 16 kHz, the mel spectrogram steps every 200 samples (80 steps a second), and faces move at 25 fps; so
a frame lasts 640 samples, or 3.2 mel steps. Letters: `n` samples, `n_mel` steps, `T` frames.
"""

SAMPLE_RATE_HZ = 16_000
MEL_HOP = 200
FRAMES_PER_SECOND = 25
MEL_STEPS_PER_WINDOW = 16

MEL_STEPS_PER_SECOND = SAMPLE_RATE_HZ // MEL_HOP
SAMPLES_PER_FRAME = SAMPLE_RATE_HZ // FRAMES_PER_SECOND

if SAMPLE_RATE_HZ % MEL_HOP or SAMPLE_RATE_HZ % FRAMES_PER_SECOND:
    raise RuntimeError("the sample rate must be a whole number of mel hops and of video frames")


def frames_in_samples(n_samples: int) -> int:
    """Whole video frames that `n_samples` at 16 kHz last; the remainder is cut."""
    return n_samples // SAMPLES_PER_FRAME


def frames_in_seconds(seconds: float) -> int:
    """Whole video frames in a time; the remainder is cut (PARITY.md P8 does the same for the idle mode)."""
    return int(seconds * FRAMES_PER_SECOND)


def samples_in_frames(n_frames: int) -> int:
    """Samples of 16 kHz audio that so many frames of video last."""
    return n_frames * SAMPLES_PER_FRAME


def mel_steps_in_samples(n_samples: int) -> int:
    """Steps of a centred short-time Fourier transform over `n_samples`: one more than the hops that fit."""
    return 1 + n_samples // MEL_HOP


def window_start(frame: int) -> int:
    """First mel step of the 16-step window of a frame: it begins two frames before.

    Truncated toward zero as the released weights were trained, so frame 0 begins at -6 and frame 1 at -3 (a floor
    would give -7 and -4). Steps outside the spectrogram are clamped by the reader.
    """
    return int(MEL_STEPS_PER_SECOND * ((frame - 2) / FRAMES_PER_SECOND))


def half_frame_window_start(half_frame: int) -> tuple[int, float]:
    """The window of frame `half_frame / 2` begins after so many whole mel steps and this share of the next, 0..1.

    It is where that of `window_start` is in the mean of five frames, which the truncation makes up to 0.8 of a step
    early: 0.4 steps before two frames before.
    """
    per_second = 2 * FRAMES_PER_SECOND
    early = 2 * per_second // 5  # 0.4 steps
    whole, rest = divmod(MEL_STEPS_PER_SECOND * (half_frame - 4) - early, per_second)
    return whole, rest / per_second


def frame_middle_step(frame: int) -> tuple[int, float]:
    """The middle of a frame lies so many whole mel steps after the beginning, and this share of the next, 0..1."""
    per_two = 2 * FRAMES_PER_SECOND
    whole, rest = divmod(MEL_STEPS_PER_SECOND * (2 * frame + 1), per_two)
    return whole, rest / per_two
