"""Class labels among samples: are these labels, and what is said of them instead of what is said of numbers."""

from typing import Any

import numpy as np

from itssl.arrays import Samples, is_torch
from itssl.estimate import EstimateWarning
from itssl.estimators.diagnosis import integral
from itssl.estimators.mixed_neighbors import as_labels


def holds_labels(z: Samples) -> bool:
    """Whether z, shape (n, d), is one column of integers, at least two rows of each on average, as labels are.

    >>> holds_labels(np.array([[0.0], [2.0], [2.0], [0.0]])), holds_labels(np.array([[0.0], [1.0], [2.0], [3.0]]))
    (True, False)
    """
    return z.shape[1] == 1 and integral(z) and 2 * len(np.unique(z)) <= len(z)


def text_as_codes(z: Any, name: str) -> Any:
    """Labels in words as a column of codes 0, 1, … in their sorted order; anything else as it came.

    Raises SampleError for missing labels and less than two classes.

    >>> text_as_codes(["b", "a", "b"], "y").ravel()
    array([1., 0., 1.])
    """
    if is_torch(z):
        return z
    array = np.asarray(z)
    words = array.dtype.kind in "US" or (array.dtype.kind == "O" and array.size and isinstance(array.flat[0], str))
    return as_labels(z, name=name)[:, None].astype(float) if words else z


def label_facts(z: Samples) -> dict[str, float]:
    """Number of classes, rows of the rarest one, and −Σ p̂ log p̂ in nats, above which no I(X; labels) lies.

    >>> {name: round(value, 3) for name, value in label_facts(np.array([[0.0], [1.0], [1.0], [0.0]])).items()}
    {'classes': 2.0, 'rarest_class': 2.0, 'entropy_of_labels': 0.693}
    """
    _, counts = np.unique(z, return_counts=True)
    shares = counts / counts.sum()
    return {
        "classes": float(len(counts)), "rarest_class": float(counts.min()),
        "entropy_of_labels": float(-shares @ np.log(shares)),
    }  # fmt: skip


def label_warnings(z: Samples, *, name: str = "y") -> tuple[EstimateWarning, ...]:
    """Code ``integers``, in words that fit labels: that rows coincide is their nature.

    >>> label_warnings(np.array([[0.0], [1.0], [1.0], [0.0]]))[0].cure
    'estimate information about labels by Ross, as mutual_information(x, labels, method="ross"); of counts by MixedKSG'
    """
    return (
        EstimateWarning(
            code="integers",
            message=f"{name} holds {len(np.unique(z))} different integers in one column, as class labels do: they have "
            "no density, and distances between them mean nothing",
            cure='estimate information about labels by Ross, as mutual_information(x, labels, method="ross"); of '
            "counts by MixedKSG",
        ),
    )
