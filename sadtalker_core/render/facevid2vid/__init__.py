"""The released family's renderer: face-vid2vid (Wang, Mallya, Liu: One-Shot Free-View Neural Talking-Head Synthesis for
Video Conferencing, CVPR 2021), as SadTalker trained it.

In the order in which a frame is made:

    keypoints.py           an image -> its canonical key points
    transform.py           key points, turned, moved and deformed by a row of motion
    dense_motion.py        key points here and there -> where every voxel of the frame comes from
    generator.py           a portrait's features, warped so -> the frame
    animate.py             all that, batch by batch
    fast.py                the generator arranged for speed, of the parts in fast_layers.py
    blocks.py, grids.py    layers and coordinate grids that these share
    motion_estimator.py    an image -> how the face is turned, moved and bent; only training needs it
"""
