"""Linear probes on frozen representations."""

import numpy as np
from jaxtyping import Float, Int

from itssl.arrays import SampleError, as_samples, stream
from itssl.choices import require_count


def few_shot_probe(
    train_z: Float[np.ndarray, "n d"],
    train_y: Int[np.ndarray, " n"],
    test_z: Float[np.ndarray, "m d"],
    test_y: Int[np.ndarray, " m"],
    *,
    shots: int = 10,
    draws: int = 5,
    seed: int = 0,
) -> float:
    """Test accuracy of logistic regression on ``shots`` labeled rows a class, averaged over seeded ``draws``.

    Columns are standardized by the training rows. Raises SampleError when a class has fewer rows than ``shots``.

    >>> z = np.repeat(np.eye(3), 10, axis=0)
    >>> few_shot_probe(z, z.argmax(1), z, z.argmax(1), shots=3)
    1.0
    """
    from sklearn.linear_model import LogisticRegression

    require_count("shots", shots)
    require_count("draws", draws)
    train_z, test_z = as_samples(train_z, name="train_z"), as_samples(test_z, name="test_z")
    classes, counts = np.unique(train_y, return_counts=True)
    if counts.min() < shots:
        raise SampleError(f"train_y: expected at least {shots} rows a class, got {counts.min()}; use fewer shots")
    center, std = train_z.mean(axis=0), train_z.std(axis=0)
    std = np.where(std > 0, std, 1.0)
    accuracy = []
    for draw in range(draws):
        rng = stream(seed, "few-shot probe", draw)
        rows = np.concatenate([rng.choice(np.flatnonzero(train_y == c), shots, replace=False) for c in classes])
        probe = LogisticRegression(max_iter=5000).fit((train_z[rows] - center) / std, train_y[rows])
        accuracy.append(probe.score((test_z - center) / std, test_y))
    return float(np.mean(accuracy))
