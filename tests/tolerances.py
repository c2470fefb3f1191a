"""How far numbers may lie apart that ought to be the same, and why. Everything that is compared with a stored image,
with another arrangement of the same sums, or with another batch size takes its bound from here.

Processors and batch sizes choose other orders of adding up, in other lanes, by other kernels; each sum is then rounded
elsewhere. That changes rounding only. What it amounts to follows from the number formats:

- float32 keeps 24 bits: a number in 0..1 is off by 6e-8 at most. A frame is the end of some hundred layers of sums, and
  a normalisation divides by a spread that may be small; the bound is about a thousand roundings. Measured between the
  plain and the fast arrangement, one thread and two, AVX2 and AVX-512, batches of 1 to 8: 2.1e-5 at most.
- half precision keeps 11 bits: a stored image in 0..1 is off by 2.4e-4 at most, and by 1.2e-4 / 2 on average where
  it is bright. 4e-4 leaves as much again as the arrangements do, through the blur of a warped volume.
- an image of bytes may fall to the next level where it lies between two: one level, in less than one pixel of 100.

One level of an image of bytes is 3.9e-3, some eighty times the bound on arrangements: nobody sees any of these.
"""

from __future__ import annotations

#: two arrangements of the same sums in float32, of images in 0..1
ARRANGEMENTS = 5e-5
#: of an image in 0..1 that is stored in half precision: at most, and on average
IMAGE_MAX, IMAGE_MEAN = 4e-4, 1.2e-4
#: of statistics, and of everything else that is stored in float32 and lies about 0..1
NUMBERS = 1e-4
#: of a key point in -1..1, a mean over 65,536 or 262,144 voxels whose heat comes out of some fifty layers. Sums of at
#: most 432 numbers, added up in pairs, put it within 1.2e-6 of what float64 gives; the stored ones, which the original
#: calculated in float32, are up to 1.9e-6 off. Measured between the two: 2.5e-6, with the kernels of SSE 4.1, AVX2,
#: AVX-512 and AMX (ONEDNN_MAX_CPU_ISA), and torch's plain ones, AVX2 and AVX-512 (ATEN_CPU_CAPABILITY)
KEY_POINT = 3e-6
#: of images of bytes: levels, and the share of pixels that may be that far off
LEVEL, SHARE = 1, 0.01
