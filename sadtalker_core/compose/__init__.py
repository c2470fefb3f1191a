"""Frames come in; the whole image, then a video file, goes out."""
