"""The mini family's renderer: a face mesh is posed, and the portrait is warped along.

In the order in which a frame is made:

    placement.py       where the face is on its stage: the square cut out around a head, the canonical face laid on it
    posed_rig.py       the rows of a motion -> how far the head turns and goes in each frame
    rig.py             all points of the mesh, moved as a frame asks, with
      lid_contact.py       how eyelids close
      lip_contact.py       how lips close
      surroundings.py      how hair, ears and neck follow
    rasterizer.py      which triangle is in front at each pixel
    mouth_anchors.py   where teeth and tongue are
    flow_maps.py       where each pixel comes from, and the maps for
    network.py         what that gets wrong, and colour for what the portrait does not show
    silhouette.py      where what is behind is not known: what of that goes on beside head and hair
    layers.py          the person, which is warped, and what is behind, which stays
    warp.py            images looked up at other places
    compositor.py      all that put together at full size: `render_flow_frames`

What is drawn between lips and on lids: ../mouth, ../eyes (with edge_curves.py: edges at any resolution).
"""
