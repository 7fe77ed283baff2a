"""Hypothesis strategies for laws, tasks, samples, arrays and networks: everything to import is here.

Premises hold by construction, so nothing is filtered out; every example carries its own seed; what can shrinks to the
standard normal law on the line.

>>> from hypothesis import find
>>> find(samples(n=20), lambda x: True).shape
(20, 1)
"""

from itssl.testing.array_kinds import ArrayKind, array_kinds
from itssl.testing.bad_samples import BadSamples, bad_samples
from itssl.testing.law_strategies import (
    correlations,
    covariances,
    dirichlet_laws,
    elliptical_laws,
    gaussian_mixtures,
    gaussians,
    laws,
    scalar_laws,
    seeds,
)
from itssl.testing.network_strategies import encoders
from itssl.testing.sample_strategies import paired_views, samples
from itssl.testing.task_strategies import TaskCase, gaussian_tasks, tasks

__all__ = [
    "ArrayKind",
    "BadSamples",
    "TaskCase",
    "array_kinds",
    "bad_samples",
    "correlations",
    "covariances",
    "dirichlet_laws",
    "elliptical_laws",
    "encoders",
    "gaussian_mixtures",
    "gaussian_tasks",
    "gaussians",
    "laws",
    "paired_views",
    "samples",
    "scalar_laws",
    "seeds",
    "tasks",
]
