"""Laws that a diagnosis must pass, and networks' outputs and other samples that it must flag."""

import numpy as np


def stretched(rng, n, d, *, condition=100.0):
    """Gaussian whose covariance has this condition number, in random directions."""
    q = np.linalg.qr(rng.normal(size=(d, d)))[0]
    return rng.normal(size=(n, d)) * np.sqrt(np.geomspace(1, condition, d)) @ q.T


def mixture(rng, n, d, *, components, apart, std=1.0):
    centers = apart * rng.normal(size=(components, d))
    return centers[rng.integers(components, size=n)] + std * rng.normal(size=(n, d))


def stretched_mixture(rng, n, d):
    """Three components, each stretched tenfold in directions of its own."""
    which = rng.integers(3, size=n)
    return np.vstack([3 * rng.normal(size=d) + stretched(rng, int((which == j).sum()), d) for j in range(3)])


def elliptical_student(rng, n, d, *, freedom):
    return rng.normal(size=(n, d)) / np.sqrt(rng.chisquare(freedom, size=(n, 1)) / freedom)


def ball(rng, n, d):
    z = rng.normal(size=(n, d))
    return z / np.linalg.norm(z, axis=1, keepdims=True) * rng.uniform(size=(n, 1)) ** (1 / d)


LIGHT_TAILED = {
    "Gaussian": lambda rng, n, d: rng.normal(size=(n, d)),
    "stretched Gaussian": stretched,
    "uniform": lambda rng, n, d: rng.uniform(size=(n, d)),
    "ball": ball,
    "exponential": lambda rng, n, d: rng.exponential(size=(n, d)),
    "Laplace": lambda rng, n, d: rng.laplace(size=(n, d)),
    "mixture": lambda rng, n, d: mixture(rng, n, d, components=5, apart=4.0),
    "tight mixture": lambda rng, n, d: mixture(rng, n, d, components=4, apart=1.0, std=0.1),
    "stretched mixture": stretched_mixture,
}
HEAVY_TAILED = {
    "Student t, 3": lambda rng, n, d: rng.standard_t(3, size=(n, d)),
    "elliptical t, 3": lambda rng, n, d: elliptical_student(rng, n, d, freedom=3),
    "elliptical Cauchy": lambda rng, n, d: elliptical_student(rng, n, d, freedom=1),
}


def tanh_network(rng, n, *, latent=2, hidden=32, out=16):
    """A smooth nonlinear image of a latent Gaussian, in ``out`` > ``latent`` dimensions."""
    inner = rng.normal(size=(latent, hidden)) * 1.5 / np.sqrt(latent)
    outer = rng.normal(size=(hidden, out)) * 1.5 / np.sqrt(hidden)
    return np.tanh(np.tanh(rng.normal(size=(n, latent)) @ inner + 0.3 * rng.normal(size=hidden)) @ outer)


def relu_layer(rng, n, *, d_in=5, d_out=8):
    weights = rng.normal(size=(d_in, d_out)) / np.sqrt(d_in)
    return np.maximum(rng.normal(size=(n, d_in)) @ weights + 0.3 * rng.normal(size=d_out), 0)
