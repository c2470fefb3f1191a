"""What is drawn between the lips (mini family).

    lip_edges.py      lips that part or meet, up to their very edge
    corners.py        where an open mouth of the portrait ends
    seam.py           where closed lips of the portrait meet
    measured_lips.py  where the lips of an open mouth end in the portrait
    interior.py       teeth, tongue and the dark, put behind them
    dentition.py      the measures of the teeth, where they lie in the head, and their drawings
    own_teeth.py      teeth that the portrait shows, which it keeps
    opening.py        where pixels lie between the lips
    lip_rim.py        how lips turn inwards, and where an opening ends softly
    light.py          the light that they are drawn in

Where teeth are in a frame: ../meshwarp/mouth_anchors.py; how far the lips are apart: ../meshwarp/lip_contact.py.
"""
