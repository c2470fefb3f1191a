"""Dubbing: a film and a voice come in; the same film goes out, the mouth of one person in it speaking with that voice.

    film.py      a film, by its time stamps, in its own rate: frames one by one, its sound block by block
    schedule.py  which image of the film is on at each frame of the video, and how much of the mouth is dubbed there
    follow.py    the same person from frame to frame, over cuts, smoothed in time over a few frames ahead
    rest.py      what that person's face is like when it rests, read from a sample of the film before it is dubbed
    mouth.py     one frame: its jaw and lips as the voice has them, in the frame's own pose and light (mini)
    sources.py   the same with the released weights: every frame is a portrait
    dub.py       all that put together: `dub_film`

How a frame is dubbed. Every frame is its own source: its mesh says where jaw and lips are in it. Where they shall be is
the person's face at rest, moved by the blendshapes of the voice and turned as the frame's head is; so nothing of the
film's own mouth has to be known to replace it, and what is read wrong of it is not seen in the new one. Between the
two, pixels of the frame are moved; what opens between the lips is drawn. Nose, cheeks, eyes and brows are no part of
it: around mouth and chin the movement ends, and a soft mask, and beyond that mask the frame's own bytes go on.

Memory does not grow with the film: a few frames ahead are held for the smoothing, a few for the encoder.
"""
