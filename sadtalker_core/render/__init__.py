"""Tracks come in, key points or unit weights move, frames go out batch by batch."""
