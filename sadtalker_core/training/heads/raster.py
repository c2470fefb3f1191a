"""Triangles to pixels, and noise in space; compiled with numba, because the generator lives on plain CPU cores.

Pixels are counted from the left top corner, the centre of the first one is at (0.5, 0.5); a larger depth is nearer.
"""

from __future__ import annotations

import numba
import numpy as np

NOTHING = -1  #: triangle id of a pixel that no triangle covers


@numba.njit(cache=True, fastmath=True)
def rasterise(
    points: np.ndarray, faces: np.ndarray, height: int, width: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """points (V, 3) x, y in pixels and depth -> depth (h, w), triangle id (h, w), barycentric weights (h, w, 2) of the
    second and third corner. Degenerate triangles are left out.
    """
    depth = np.full((height, width), -1e9, np.float32)
    triangle = np.full((height, width), -1, np.int32)
    weights = np.zeros((height, width, 2), np.float32)
    for t in range(faces.shape[0]):
        a, b, c = faces[t, 0], faces[t, 1], faces[t, 2]
        ax, ay, bx, by, cx, cy = points[a, 0], points[a, 1], points[b, 0], points[b, 1], points[c, 0], points[c, 1]
        area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
        if abs(area) < 1e-9:
            continue
        left, right = max(0, int(np.floor(min(ax, bx, cx)))), min(width - 1, int(np.ceil(max(ax, bx, cx))))
        top, bottom = max(0, int(np.floor(min(ay, by, cy)))), min(height - 1, int(np.ceil(max(ay, by, cy))))
        for y in range(top, bottom + 1):
            for x in range(left, right + 1):
                px, py = x + 0.5 - ax, y + 0.5 - ay
                u = (px * (cy - ay) - (cx - ax) * py) / area
                v = ((bx - ax) * py - px * (by - ay)) / area
                if u < -1e-5 or v < -1e-5 or u + v > 1.00001:
                    continue
                z = points[a, 2] * (1 - u - v) + points[b, 2] * u + points[c, 2] * v
                if z > depth[y, x]:
                    depth[y, x] = z
                    triangle[y, x] = t
                    weights[y, x, 0] = u
                    weights[y, x, 1] = v
    return depth, triangle, weights


@numba.njit(cache=True, fastmath=True)
def vertex_normals(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V, 3) unit normals, the triangles around a vertex weighted by their area."""
    normals = np.zeros_like(points)
    for t in range(faces.shape[0]):
        a, b, c = faces[t, 0], faces[t, 1], faces[t, 2]
        ux, uy, uz = points[b, 0] - points[a, 0], points[b, 1] - points[a, 1], points[b, 2] - points[a, 2]
        vx, vy, vz = points[c, 0] - points[a, 0], points[c, 1] - points[a, 1], points[c, 2] - points[a, 2]
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for k in range(3):
            normals[faces[t, k], 0] += nx
            normals[faces[t, k], 1] += ny
            normals[faces[t, k], 2] += nz
    for i in range(normals.shape[0]):
        length = np.sqrt(normals[i, 0] ** 2 + normals[i, 1] ** 2 + normals[i, 2] ** 2) + 1e-9
        normals[i] /= length
    return normals


@numba.njit(cache=True, fastmath=True, inline="always")
def noise_at(grid: np.ndarray, x: float, y: float, z: float) -> float:
    """Smooth noise: the periodic grid (n, n, n) of random numbers, interpolated at one point."""
    n = grid.shape[0]
    xi, yi, zi = int(np.floor(x)), int(np.floor(y)), int(np.floor(z))
    fx, fy, fz = x - xi, y - yi, z - zi
    x0, y0, z0 = xi % n, yi % n, zi % n
    x1, y1, z1 = (x0 + 1) % n, (y0 + 1) % n, (z0 + 1) % n
    near = (grid[x0, y0, z0] * (1 - fx) + grid[x1, y0, z0] * fx) * (1 - fy)
    near += (grid[x0, y1, z0] * (1 - fx) + grid[x1, y1, z0] * fx) * fy
    far = (grid[x0, y0, z1] * (1 - fx) + grid[x1, y0, z1] * fx) * (1 - fy)
    far += (grid[x0, y1, z1] * (1 - fx) + grid[x1, y1, z1] * fx) * fy
    return near * (1 - fz) + far * fz


@numba.njit(cache=True, fastmath=True)
def noise_over(grid: np.ndarray, points: np.ndarray, frequency: float) -> np.ndarray:
    """(n,) noise at points (n, 3)."""
    values = np.empty(points.shape[0], np.float32)
    for i in range(points.shape[0]):
        values[i] = noise_at(grid, points[i, 0] * frequency, points[i, 1] * frequency, points[i, 2] * frequency)
    return values
