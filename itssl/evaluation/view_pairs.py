"""Two views' embeddings, admitted for a statement about their information."""

import numpy as np

from itssl.arrays import SampleError, Samples, SamplesLike, as_paired_samples, refuse_constant_columns

_SMALLEST, _LARGEST = 1e-140, 1e140  # squares of what lies between, and their sums, are floats of full precision


def paired_views(z_a: SamplesLike, z_b: SamplesLike, *, constant_columns: bool) -> tuple[Samples, Samples]:
    """Both as float64 arrays of one shape (n, d).

    Raises SampleError for unequal shapes, a collapsed view (all rows equal), a constant column unless
    ``constant_columns``, and views so large or small that squares overflow.

    >>> paired_views([[1.0], [1.0]], [[0.0], [1.0]], constant_columns=True)
    Traceback (most recent call last):
    ...
    itssl.arrays.SampleError: z_a: expected rows that differ, got 2 equal ones; the encoder has collapsed: its \
embeddings carry no information, and hinge, log-determinant and pairwise terms have no gradient there. Start from \
other weights, with a term against collapse
    """
    a, b = as_paired_samples(z_a, z_b, names=("z_a", "z_b"))
    if a.shape != b.shape:
        raise SampleError(
            f"z_a and z_b: expected equal shapes, got {a.shape} and {b.shape}; row i of both must embed two views of "
            "one input"
        )
    for name, rows in (("z_a", a), ("z_b", b)):
        width = float(np.ptp(rows / 2, axis=0).max())  # halves, lest their difference overflow
        if width == 0:
            raise SampleError(
                f"{name}: expected rows that differ, got {len(rows)} equal ones; the encoder has collapsed: its "
                "embeddings carry no information, and hinge, log-determinant and pairwise terms have no gradient "
                "there. Start from other weights, with a term against collapse"
            )
        if not _SMALLEST < width < _LARGEST:
            raise SampleError(
                f"{name}: expected values whose squares are floats, got columns up to {2 * width:.3g} wide; divide "
                "both views by one number, which changes no information"
            )
        if not constant_columns:
            refuse_constant_columns(rows, name=name)
    return a, b
