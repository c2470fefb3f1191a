"""Voices that we make ourselves: text -> synthetic speech with phoneme times -> what the face should do, frame
by frame.
"""
