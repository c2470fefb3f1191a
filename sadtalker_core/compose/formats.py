"""The kinds of files that a video is written to: what each holds, and the ffmpeg options that make it.

    mp4    H.264 and AAC: plays everywhere, knows no transparency
    webm   VP9 and Opus, with alpha: for web pages, OBS and video editors that read WebM
    mov    ProRes 4444 and PCM, with alpha: for video editors; large, and no browser plays it

The file name's extension selects the format. Colours are never multiplied by the alpha ("straight" alpha).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

LARGEST_CRF = 51


@dataclass(frozen=True)
class Quality:
    """crf: x264's constant rate factor, 0 lossless to 51.  preset: how hard it searches.  vp9_crf: libvpx's, 0 to 63.
    prores_scale: the quantiser of ProRes, 1 the finest.
    """

    crf: int
    preset: str
    vp9_crf: int = 20
    prores_scale: int = 6

    @classmethod
    def of_crf(cls, crf: int, preset: str) -> Quality:
        """The same in the units of each encoder."""
        return cls(crf, preset, round(crf * 63 / LARGEST_CRF), max(1, round(crf / 3)))


#: What the node offers; "high" looks like the frames. On an image of 1920 x 1080 it is as near to them and as large as
#: crf 18 with the preset fast, in 40 % of the time (SSIM 0.9954 and 0.9955).
QUALITIES = {
    "draft": Quality(28, "veryfast", 38, 12),
    "high": Quality(16, "veryfast", 20, 6),
    "best": Quality(12, "medium", 10, 2),
}


@dataclass(frozen=True)
class VideoFormat:
    """name, and the ending of its files;  muxer: ffmpeg's name for the container, with its flags
    draft: the container of the frames alone, which can be read when its end is missing
    video: quality, and whether there is alpha -> encoder and pixels
    audio: the encoder;  audio_rates_hz: those it takes as they are, others become the first
    alpha: whether it can be transparent;  in_browsers: whether they play it
    mime: its name for a signature (C2PA); empty where it cannot carry one
    """

    name: str
    muxer: tuple[str, ...]
    draft: str
    video: Callable[[Quality, bool], tuple[list[str], str]]
    audio: tuple[str, ...]
    audio_rates_hz: tuple[int, ...]
    alpha: bool
    in_browsers: bool
    mime: str

    @property
    def ending(self) -> str:
        """Of its files' names, with the full stop."""
        return f".{self.name}"


def _h264(quality: Quality, alpha: bool) -> tuple[list[str], str]:
    return ["-c:v", "libx264", "-crf", str(quality.crf), "-preset", quality.preset], "yuv420p"


def _vp9(quality: Quality, alpha: bool) -> tuple[list[str], str]:
    speed = ["-deadline", "good", "-cpu-used", "4", "-row-mt", "1"]
    # a frame that is not displayed has no alpha, and libvpx then refuses all
    straight = ["-auto-alt-ref", "0"] if alpha else []
    pixels = "yuva420p" if alpha else "yuv420p"
    return ["-c:v", "libvpx-vp9", "-crf", str(quality.vp9_crf), "-b:v", "0", *speed, *straight], pixels


def _prores(quality: Quality, alpha: bool) -> tuple[list[str], str]:
    scale = ["-profile:v", "4444", "-vendor", "apl0", "-q:v", str(quality.prores_scale)]
    # eight bits of alpha are what comes in; ProRes keeps them to the bit
    return ["-c:v", "prores_ks", *scale, *(["-alpha_bits", "8"] if alpha else [])], (
        "yuva444p10le" if alpha else "yuv444p10le"
    )


#: Names of our own survive only as QuickTime tags; the index comes first, so that a page can begin to play.
_QUICKTIME = ("-movflags", "+faststart+use_metadata_tags")
#: sample rates that every player takes; others are resampled to the first
_RATES_HZ = (48_000, 44_100)

FORMATS: Mapping[str, VideoFormat] = {
    one.name: one
    for one in (
        VideoFormat(
            "mp4", ("mp4", *_QUICKTIME), "nut", _h264, ("aac", "-b:a", "192000"), _RATES_HZ, False, True, "video/mp4"
        ),
        # NUT has no place for the alpha that goes beside the frames of VP9, Matroska has
        VideoFormat("webm", ("webm",), "matroska", _vp9, ("libopus", "-b:a", "160000"), _RATES_HZ[:1], True, True, ""),
        VideoFormat(
            "mov", ("mov", *_QUICKTIME), "nut", _prores, ("pcm_s16le",), _RATES_HZ, True, False, "video/quicktime"
        ),
    )
}
MP4 = FORMATS["mp4"]


def format_of(path: Path) -> VideoFormat:
    """By the extension of a file name; mp4 for an unknown one."""
    return FORMATS.get(path.suffix.lower().removeprefix("."), MP4)


__all__ = ["FORMATS", "LARGEST_CRF", "MP4", "QUALITIES", "Quality", "VideoFormat", "format_of"]
