"""Generated talking heads, the training data of the mini family: seeded people of a CC0 mesh and our own patterns.

    mesh.py         the base mesh, its identity targets and the 52 blendshapes, out of a wheel of the package registry
    person.py       one seed -> one person: shape, skin, hair, brows, beard, clothes, glasses
    expressions.py  which faces are made, and which heads turn how far
    raster.py       triangles -> pixels (numba), and noise in space
    shading.py      pixels -> colours
    scene.py        person + camera + lights + background -> frames, exact flow, layers
    landmarks.py    where the 468 points of the face mesh sit on the base mesh -> assets/mini_basis.safetensors
    dataset.py      pairs (source, driving) -> shards of arrays

Lengths are decimetres as in the base mesh: x to the left of the person (right in the image), y up, z to the viewer.
"""
