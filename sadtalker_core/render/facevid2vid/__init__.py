"""The released family's renderer (face-vid2vid): key points, dense motion, generator."""
