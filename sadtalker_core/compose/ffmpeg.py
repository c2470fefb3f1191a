"""One run of ffmpeg, the program that the package imageio-ffmpeg brings along."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import queue
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..errors import VideoError, shorten
from ..saving import disk_full_error

#: characters of ffmpeg's output that an error repeats
LAST_LINES = 12
#: seconds between two calls of check_stop while it works
POLL_SECONDS = 0.1
#: how long a stop waits for a process that was killed: a dead network disk holds it
STOP_SECONDS = 0.2
#: after this long without progress a line is logged
SILENCE_SECONDS = 30.0
BYTES_AT_ONCE = 1 << 20


class Ffmpeg:
    """One run of ffmpeg, fed through its standard input. Every wait for it, even if it hangs, keeps calling
    `check_stop`.
    """

    def __init__(
        self, *arguments: str, folder: Path, check_stop: Callable[[], None], patience_seconds: float = math.inf
    ):
        """folder: of the file, for messages;  patience_seconds: without progress, until VideoError is raised"""
        self.folder, self.check_stop, self.patience_seconds = folder, check_stop, patience_seconds
        self.command = ffmpeg_command()
        try:
            self.process = subprocess.Popen(
                [*self.command, "-y", "-nostdin", "-hide_banner", "-loglevel", "error", *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                bufsize=0,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except OSError as error:
            raise VideoError(f"{name_of_command(self.command)} cannot be run: {shorten(error)}.") from error
        assert self.process.stdin is not None and self.process.stderr is not None
        self.input, self.words = self.process.stdin, self.process.stderr
        self._tasks: queue.SimpleQueue[tuple[np.ndarray, threading.Event] | None] = queue.SimpleQueue()
        self._refused = False
        # A full pipe blocks its writer, and ffmpeg while nobody reads its output: each end has a thread.
        self.last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self.feeder, self.reader = (threading.Thread(target=work, daemon=True) for work in (self._feed, self._read))
        self.feeder.start()
        self.reader.start()

    def feed(self, data: np.ndarray) -> None:
        """Returns when all of it has been taken."""
        if not data.size:
            return
        taken = threading.Event()
        self._tasks.put((data, taken))
        self._wait(taken.wait)
        if self._refused:  # it closed its end: it has died, with the reason on stderr
            self._raise_last_output()

    def finish(self) -> None:
        self._tasks.put(None)
        self._wait(self._ended)
        self.reader.join(STOP_SECONDS)
        if self.process.returncode:
            self._raise_last_output()
        self._close()

    def stop(self, after_seconds: float = 0.0) -> bool:
        """Ends it, at once or when it has had so long to finish what it was fed; harmless when it has ended. A process
        that even a kill does not end is left behind. Returns whether it ended by itself.
        """
        self._tasks.put(None)
        by_itself = self._ended(after_seconds)
        if not by_itself:
            self.process.kill()
            self._ended(STOP_SECONDS)
        self._close()
        return by_itself

    def _close(self) -> None:
        self.feeder.join(STOP_SECONDS)
        self.reader.join(STOP_SECONDS)
        if not self.reader.is_alive():
            self.words.close()

    def _wait(self, done: Callable[[float], bool]) -> None:
        waited = 0.0
        while not done(POLL_SECONDS):
            self.check_stop()
            waited += POLL_SECONDS
            if waited > self.patience_seconds:
                raise VideoError(f"{name_of_command(self.command)} has not answered for {waited:.0f} s")
            if round(waited / POLL_SECONDS) == round(SILENCE_SECONDS / POLL_SECONDS):
                logging.warning(
                    "SadTalker: ffmpeg has not answered for %.0f s; still waiting. Its folder is %s.",
                    SILENCE_SECONDS,
                    shorten(self.folder),
                )

    def _ended(self, seconds: float) -> bool:
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _feed(self) -> None:
        with contextlib.suppress(OSError):  # its exit status is more informative than a failing close
            with self.input as pipe:
                while (task := self._tasks.get()) is not None:
                    data, taken = task
                    try:
                        left = memoryview(data.data).cast("B")
                        while left and not self._refused:
                            left = left[pipe.write(left[:BYTES_AT_ONCE]) or 0 :]
                    except OSError:
                        self._refused = True
                    taken.set()

    def _read(self) -> None:
        for line in self.words:
            self.last_lines.append(line.decode(errors="replace").rstrip())

    def _raise_last_output(self) -> None:
        self._wait(self._ended)
        self.reader.join(STOP_SECONDS)
        words = "\n".join([*self.last_lines, _how_it_ended(self.process.returncode)])
        raise disk_full_error(words, self.folder) or VideoError(
            f"{name_of_command(self.command)} could not write the video. Its last output:\n{words}"
        )


def _how_it_ended(status: int) -> str:
    """The exit status of a process in words."""
    if status >= 0:
        return f"(exit status {status})"
    if -status == getattr(signal, "SIGXFSZ", None):
        return "File too large"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = "unknown"
    hint = "; systems do that to programs when the memory runs out" if name == "SIGKILL" else ""
    return f"(ended by signal {-status}, {name}{hint})"


def never_stop() -> None:
    """The check of a caller who never stops."""


def name_of_command(command: list[str]) -> str:
    """The encoder as a sentence begins with it; where the user chose it, by the setting's name."""
    chosen = os.environ.get("IMAGEIO_FFMPEG_EXE")
    named = f"the environment variable IMAGEIO_FFMPEG_EXE names {shorten(chosen)}, which" if chosen else "ffmpeg"
    return named if chosen in command else "ffmpeg"


def ffmpeg_command() -> list[str]:
    """How to call ffmpeg. Raises VideoError when there is none."""
    try:
        import imageio_ffmpeg

        return [imageio_ffmpeg.get_ffmpeg_exe()]
    except (ImportError, RuntimeError) as error:
        raise VideoError(
            "ffmpeg, which writes the video, was not found: install the package imageio-ffmpeg into ComfyUI's Python,"
            " or set the environment variable IMAGEIO_FFMPEG_EXE."
        ) from error


def as_argument(path: Path) -> str:
    """A path that ffmpeg takes for a file whatever its name looks like."""
    return f"file:{path}"


__all__ = ["STOP_SECONDS", "Ffmpeg", "as_argument", "ffmpeg_command", "name_of_command", "never_stop"]
