"""Real data that need no download."""

import html
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from itssl.arrays import stream


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Labeled pictures as flat rows, in a training and a test part; the arrays are read-only."""

    train_x: Float[np.ndarray, "n D"]
    train_y: Int[np.ndarray, " n"]
    test_x: Float[np.ndarray, "m D"]
    test_y: Int[np.ndarray, " m"]
    image: tuple[int, int, int]
    """Channels, height and width of a row."""
    name: str

    def __post_init__(self) -> None:
        for name in ("train_x", "train_y", "test_x", "test_y"):
            frozen = getattr(self, name).view()
            frozen.flags.writeable = False
            object.__setattr__(self, name, frozen)

    def __repr__(self) -> str:
        return (
            f"Dataset({self.name}: {len(self.train_x)} training and {len(self.test_x)} test pictures of shape "
            f"{self.image}, {len(np.unique(self.train_y))} classes)"
        )

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(repr(self))}</p>"


def digits(seed: int = 0) -> Dataset:
    """The 1797 handwritten digits of scikit-learn, 8x8 gray values in [0, 1], split into 1297 and 500 at random.

    The seed names the split. Nothing is downloaded: the pictures come with scikit-learn.

    Raises SampleTypeError for a seed that is not a non-negative integer.

    References
    ----------
    [1] E. Alpaydin and C. Kaynak (1998). Optical recognition of handwritten digits. UCI Machine Learning Repository.

    >>> digits()
    Dataset(digits: 1297 training and 500 test pictures of shape (1, 8, 8), 10 classes)
    """
    from sklearn.datasets import load_digits

    pictures, labels = map(np.asarray, load_digits(return_X_y=True))
    pictures, labels = pictures / 16.0, labels.astype(np.int64)  # ink is counted from 0 to 16
    order = stream(seed, "digits").permutation(len(labels))
    x, y = pictures[order], labels[order]
    return Dataset(train_x=x[:1297], train_y=y[:1297], test_x=x[1297:], test_y=y[1297:], image=(1, 8, 8), name="digits")
