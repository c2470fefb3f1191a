"""SadTalker's core: audio, face, motion, render, compose; pipeline.py calls them in order."""
