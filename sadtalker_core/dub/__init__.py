"""Dubbing: a video and speech come in; the same video goes out, the mouth of one person in it moved by that speech.

    source_video.py  the source video, read by its time stamps at its own fps: frame by frame, its audio block by block
    schedule.py  which source frame each frame of the dubbed video shows, and how much of the mouth is replaced there
    follow.py    the same person from frame to frame, over cuts, smoothed in time over a few frames ahead
    rest.py      that person's resting face, estimated from a sample of the video before it is dubbed
    corners.py   the corners of that person's mouth, by the same sample
    closed_lips.py  that person's lips when they touch, by the same sample, for frames in which open ones have to close
    mouth.py     one frame: jaw and lips moved by the speech, in the frame's own pose and light (mini)
    sources.py   the same with the released weights: every frame is a source image
    dub.py       all of it put together: `dub_video`

How a frame is dubbed: every frame is its own source image. Its mesh gives the places of jaw and lips; their targets
are the resting face, moved by the blendshapes of the speech and posed like the frame's head. So the expression of the
recorded mouth need not be known, and errors in reading it do not show. Pixels are warped from the places to the
targets; what opens between the lips is drawn; where open lips have to close, those of a frame in which they touch are
laid there. Nose, cheeks, eyes and brows are left alone: the warp fades out around mouth and chin, as does a soft mask,
and outside that mask the frame's bytes are unchanged.

Memory does not grow with the video: a few frames are held for the smoothing, a few for the encoder.
"""
