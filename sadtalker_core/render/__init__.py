"""Tracks come in, key points or blendshape weights move, frames go out batch by batch."""
