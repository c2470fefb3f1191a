"""Frames come in; the whole picture, then a video file, goes out."""
