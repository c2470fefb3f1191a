"""A portrait and a voice walk through these rooms: audio, face, motion, render, compose; pipeline.py tells the walk."""
