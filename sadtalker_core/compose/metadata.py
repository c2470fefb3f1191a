"""The metadata of a video file: the user's, and the mark that it is AI-generated."""

from __future__ import annotations

from collections.abc import Mapping

#: written into every file, so that people and machines recognise it: the words, the code of the IPTC for such media,
#: and the field that China's GB 45438-2025 asks for (Label 1: made by AI; who offers a service adds its own codes)
AI_MARK = {
    "comment": "AI-generated: this person was animated by SadTalker Nodes.",
    "digital_source_type": "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia",
    "AIGC": '{"Label": "1"}',
}


def marked(metadata: Mapping[str, str]) -> dict[str, str]:
    """The metadata and AI_MARK, which wins: names differ neither by their case, as ffmpeg reads them, nor by blanks."""
    taken = {name.casefold() for name in AI_MARK}
    return {name: text for name, text in metadata.items() if _plain(name).strip().casefold() not in taken} | AI_MARK


def ffmetadata(metadata: Mapping[str, str]) -> bytes:
    """The content of a file that ffmpeg reads names and values from: its five special characters get a backslash.

    ffmpeg takes a backslash at the end of a line for an escaped line break even when it is escaped itself, so that a
    text which ends in one gets a space behind it.
    """
    special = str.maketrans({character: "\\" + character for character in "=;#\\\n"})

    def escaped(text: str) -> str:
        text = _plain(text)
        return f"{text} ".translate(special) if text.endswith("\\") else text.translate(special)

    lines = [f"{escaped(str(name))}={escaped(str(text))}" for name, text in metadata.items()]
    return "\n".join([";FFMETADATA1", *lines, ""]).encode(errors="replace")


def _plain(text: str) -> str:
    """ffmpeg would take a NUL for the end of the text."""
    return str(text).replace("\0", "")
