r"""Gaussian probability of convex polygons, in closed form.

Seen from the center of N(0, I), a polygon is the signed sum of the triangles between the origin and its edges. Let an
edge lie on a line at distance h from the origin, and let $\theta$ be the angle from the perpendicular. In polar
coordinates the triangle below it has the probability

$$\frac1{2\pi}\int_{\theta_1}^{\theta_2} \bigl(1 - e^{-h^2/(2\cos^2\theta)}\bigr) d\theta
  = \frac{\theta_2 - \theta_1}{2\pi} - T(h, \tan\theta_2) + T(h, \tan\theta_1)$$

with Owen's function $T(h, a) = \frac1{2\pi}\int_0^{\arctan a} e^{-h^2/(2\cos^2\theta)} d\theta$ [1]. Terms of order 1
cancel, so the error is absolute: a few units of rounding for each edge.

References
----------
[1] D. B. Owen (1956). Tables for computing bivariate normal probabilities. Annals of Mathematical Statistics 27(4).
"""

import numpy as np
from jaxtyping import Float

from itssl.arrays import SampleError


def standard_polygon_probability(vertices: Float[np.ndarray, "*batch v 2"]) -> Float[np.ndarray, "*batch"]:
    """Probability under N(0, I) of convex polygons with v corners each, in either order around.

    Raises SampleError for fewer than three corners, or corners that are not finite.

    >>> square = np.array([[0.0, 0.0], [9.0, 0.0], [9.0, 9.0], [0.0, 9.0]])
    >>> print(f"{float(standard_polygon_probability(square)):.15f}")
    0.250000000000000
    """
    from scipy.special import owens_t

    if vertices.shape[-2] < 3:
        raise SampleError(f"vertices: expected at least 3 corners of a polygon, got {vertices.shape[-2]}")
    if not np.isfinite(vertices).all():
        raise SampleError("vertices: expected finite corners, got NaN or infinite ones; cut an unbounded polygon off")
    start, end = vertices, np.roll(vertices, -1, axis=-2)
    edge = end - start
    length = np.linalg.norm(edge, axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        along = edge / length[..., None]
        height = (start[..., 0] * edge[..., 1] - start[..., 1] * edge[..., 0]) / length
        distance = np.abs(height)
        tangents = [(point * along).sum(axis=-1) / distance for point in (start, end)]
        below = [np.arctan(t) / (2 * np.pi) - owens_t(distance, t) for t in tangents]
    # An edge of length 0, or through the origin, has no triangle below it.
    triangle = np.where((length > 0) & (distance > 0), np.sign(height) * (below[1] - below[0]), 0.0)
    return np.asarray(np.abs(triangle.sum(axis=-1)))
