"""Scalar laws with drawn parameters and their integrals by double-exponential quadrature: the second route."""

from itertools import pairwise

import numpy as np

from itssl.arrays import stream
from itssl.distributions.scalar_families import scalar_families
from itssl.distributions.scalar_roots import LogBeta

_REACH = 6.0
_EPS = np.finfo(float).eps


def drawn_law(name, seed=0):
    """A law of the family with parameters from a named stream."""
    family, rng = scalar_families()[name], stream(seed, "parameters", name)
    numbers = {
        key: float(rng.uniform(0.05, 0.95) if high == 1 else np.exp(rng.uniform(np.log(0.5), np.log(8))))
        for key, (_, high) in family.domains.items()
    }
    return family(**numbers)


def rounding(law):
    """Nodes beside an end at 1 are off by eps: a density ~ (1 − x)^{b−1} then moves the mass eps^b."""
    root = getattr(law.form, "root", None)
    near_one = min(1.0, root.b) if isinstance(root, LogBeta) else 1.0
    return 64 * _EPS**near_one + 4096 * _EPS  # 64: −log of the density at the last node; 4096: nodes of the rule


def half_line_rule(step):
    """Nodes x > 0 and weights of ∫_0^∞ by x = exp(π/2 sinh t) (Takahasi & Mori 1974)."""
    t = np.arange(-_REACH, _REACH + step / 2, step)
    x = np.exp(np.pi / 2 * np.sinh(t))
    return x, step * np.pi / 2 * np.cosh(t) * x


def interval_rule(low, high, step):
    """Nodes and weights of ∫_low^high by the tanh-sinh rule, each node measured from its nearer end."""
    t = np.arange(-_REACH, _REACH + step / 2, step)
    s = np.pi / 2 * np.sinh(t)
    below = np.exp(-np.abs(s)) / (2 * np.cosh(s))  # (1 − tanh|s|)/2
    x = np.where(t < 0, low + (high - low) * below, high - (high - low) * below)
    return x, step * (high - low) / 2 * np.pi / 2 * np.cosh(t) / np.cosh(s) ** 2


def line_rule(law, step=0.02, kinks=()):
    """Nodes, weights for a law on the line, cut where its density has kinks and at its location if inside."""
    low, high = law.support
    cuts = sorted({c for c in (law.location, *kinks) if low < c < high})
    edges = [low, *cuts, high]
    parts = []
    for a, b in pairwise(edges):
        if np.isfinite(a) and np.isfinite(b):
            parts.append(interval_rule(a, b, step))
        else:
            x, w = half_line_rule(step)
            parts.append((a + law.width * x, law.width * w) if np.isfinite(a) else (b - law.width * x, law.width * w))
    x, w = (np.concatenate(rows) for rows in zip(*parts, strict=True))
    used = (w > 0) & np.isfinite(x) & (np.abs(x) < 1e280)
    return x[used], w[used]


def kinks(law):
    """The points inside the support where the density is not smooth, besides the location."""
    return [law.location + law.width * dict(law.parameters)["mode"]] if law.family == "triangular" else []


def integral(law, function, step=0.02):
    """E function(x, log p(x)) under the law, and the change on halving the step as its error."""
    values = []
    for h in (2 * step, step):
        x, w = line_rule(law, h, kinks(law))
        log_p = law.log_density(x[:, None])
        mass = np.exp(np.where(np.isfinite(log_p), np.log(w) + log_p, -np.inf))
        inside = mass > 1e-290  # further out the function may overflow before the mass underflows
        values.append(float(mass[inside] @ function(x[inside], log_p[inside])))
    return values[1], abs(values[1] - values[0])
