"""Every public differentiable function: numpy equals torch, gradients are slopes, dtypes and devices stay.

A public function of the package with a parameter annotated ``Float[Any, …]`` takes numpy arrays and torch tensors.
All of them are found by that annotation, and each must be in the table below, be one of the objectives (whose arguments
are filled in by name), or be excused with a reason.
"""

import importlib
import inspect
import pkgutil
from typing import Any

import numpy as np
import pytest

import itssl
from itssl.arrays import stream

SHAPES = ((6, 3), (4, 5))


def both_kinds() -> dict[str, Any]:
    """Public functions of all modules with a parameter that may be numpy or torch, by name."""
    found: dict[str, Any] = {}
    for info in pkgutil.walk_packages(itssl.__path__, "itssl."):
        if info.name.endswith("__main__"):
            continue
        for name, function in vars(importlib.import_module(info.name)).items():
            if inspect.isfunction(function) and function.__module__ == info.name and not name.startswith("_"):
                parameters = inspect.signature(function).parameters.values()
                if any(getattr(p.annotation, "array_type", None) is Any for p in parameters):
                    assert found.setdefault(name, function) is function, f"two public functions named {name}"
    return found


FUNCTIONS = both_kinds()
EXCUSED = {
    "perceptron": "torch only: the weights of a critic",
    "maximize": "a training loop",
    "noise_settings": "returns plain numbers for a record",
    "as_views": "hands its arguments on",
    "gathered": "hands its argument on, joined over processes",
}


def F(name) -> Any:
    """The function of this name; None once it is gone, which test_no_function_is_missing reports."""
    return FUNCTIONS.get(name)


TABLE: dict[str, list] = {  # functions of arrays of shape (n, d), or (n, n) under "scores"
    "covariance": [F("covariance")],
    "gaussian_gram": [lambda z: F("gaussian_gram")(z, bandwidth=1.3)],
    "log_determinant": [lambda z: F("log_determinant")(z.T @ z if len(z) > z.shape[1] else z @ z.T)],
    "logdet_capacity": [lambda z: F("logdet_capacity")(z, beta=2.0)],
    "logdet_entropy": [lambda z: F("logdet_entropy")(z, ridge=0.1)],
    "logdet_term": [lambda a, b: F("logdet_term")(a, b, beta=2.0)],
    "matrix_renyi_entropy": [
        lambda z, alpha=alpha: F("matrix_renyi_entropy")(F("gaussian_gram")(z, bandwidth=1.3), alpha=alpha)
        for alpha in (1.01, 2.0)
    ],
    "neighbor_entropy": [
        lambda z, metric=metric: F("neighbor_entropy")(z, k=3, metric=metric)
        for metric in ("euclidean", "chebyshev", "manhattan")
    ],
    "offdiagonal_energy": [F("offdiagonal_energy")],
    "on_sphere": [lambda z: F("on_sphere")(itssl.arrays.namespace(z), z)],
    "pairdist_term": [
        lambda a, b, kernel=kernel: F("pairdist_term")(a, b, noise_var=0.7, kernel=kernel)
        for kernel in ("bhattacharyya", "kl")
    ],
    "paired_variance_covariance": [lambda a, b: F("paired_variance_covariance")(a, b, 1.0, 1e-4)],
    "pairwise_entropy_bounds": [lambda z: F("pairwise_entropy_bounds")(z, var=0.7)],
    "variance_covariance": [lambda z: F("variance_covariance")(z, 1.0, 1e-4)],
    "variance_term": [F("variance_term")],
    "covariance_term": [F("covariance_term")],
}
SCORES: dict[str, list] = {
    "lower_bound_donsker_varadhan": [F("lower_bound_donsker_varadhan")],
    "lower_bound_nwj": [F("lower_bound_nwj")],
    "lower_bound_info_nce": [F("lower_bound_info_nce")],
    "lower_bound_jensen_shannon": [F("lower_bound_jensen_shannon")],
    "jensen_shannon_objective": [F("jensen_shannon_objective")],
    "smile": [lambda s: F("smile")(s, clip=0.8)],
    "upper_bound_club": [F("upper_bound_club")],
    "lower_bound_barber_agakov": [lambda s: F("lower_bound_barber_agakov")(s.diagonal(), 2.0)],
    "contrast": [F("contrast")],
}
ARGUMENTS: dict[str, Any] = {  # of objectives, where they have no default
    "normalization": "equation", "beta": 2.0, "noise_var": 0.7, "residual_var": 0.9, "eps": 0.1, "distortion": 3.0,
    "predictor": lambda z: z + 0.3 * z**2, "target_a": None, "target_b": None,
}  # fmt: skip


def objective(name):
    """The objective as a function of (z_a, z_b); targets are constants of their kind."""
    function = FUNCTIONS[name]
    needed = [p.name for p in inspect.signature(function).parameters.values() if p.default is p.empty]
    needed = [key for key in needed if key not in ("z_a", "z_b")]
    assert set(needed) <= set(ARGUMENTS), f"{name}: give ARGUMENTS a value for {set(needed) - set(ARGUMENTS)}"

    def call(z_a, z_b):
        given = {key: ARGUMENTS[key] for key in needed}
        for key in set(needed) & {"target_a", "target_b"}:
            target = stream(8, key).normal(size=z_a.shape)
            given[key] = target.astype(z_a.dtype) if isinstance(z_a, np.ndarray) else z_a.new_tensor(target)
        return function(z_a, z_b, **given)

    return call


OBJECTIVES = {
    name: [objective(name)] for name in FUNCTIONS if name.endswith("_terms") and FUNCTIONS[name].__module__.startswith(
        "itssl.objectives."
    )
}  # fmt: skip
CASES = [
    pytest.param(function, shape, id=f"{name}-{i}-{shape[0]}x{shape[1]}")
    for table, shapes in ((TABLE, SHAPES), (OBJECTIVES, SHAPES[:1]), (SCORES, ((5, 5),)))
    for name, functions in table.items()
    for i, function in enumerate(functions)
    for shape in shapes
]
cases = pytest.mark.parametrize(("function", "shape"), CASES)


def arguments(function, shape):
    """As many standard normal arrays as the function takes; the second is near the first, as views are."""
    parameters = [p for p in inspect.signature(function).parameters.values() if p.default is p.empty]
    count = sum(p.name in ("z_a", "z_b", "a", "b") for p in parameters) or 1
    rng = stream(7, "agreement", *shape)
    z = rng.normal(size=shape)
    return [z, z + 0.5 * rng.normal(size=shape)][:count]


def values(result):
    """All arrays in what a function returns, as a list."""
    if hasattr(result, "total"):
        bound = [] if result.bound is None else [result.bound.value]
        return [result.total(), *(term.value for term in result.terms.values()), *bound]
    if hasattr(result, "direction"):
        return [result.value]
    return list(result) if isinstance(result, tuple) else [result]


def test_no_function_is_missing():
    listed = {**TABLE, **SCORES, **OBJECTIVES, **EXCUSED}
    assert set(FUNCTIONS) <= set(listed), "give new functions a row in the table"
    assert set(listed) <= set(FUNCTIONS), "rows of functions that are no more"
    assert len(listed) == len(TABLE) + len(SCORES) + len(OBJECTIVES) + len(EXCUSED), "each has one row"


def test_the_annotation_finds_what_packages_export():
    names = {"logdet_entropy", "pairwise_entropy_bounds", "neighbor_entropy", "matrix_renyi_entropy", "smile"}
    assert names <= set(FUNCTIONS)
    exported = {name for name in dir(itssl.objectives) if callable(getattr(itssl.objectives, name))}
    assert {name for name in exported if name.endswith("_terms")} <= set(OBJECTIVES)


@cases
def test_numpy_equals_torch(function, shape):
    """To 1e-10, relative to the largest value."""
    import torch

    given = arguments(function, shape)
    arrays, tensors = values(function(*given)), values(function(*map(torch.tensor, given)))
    assert len(arrays) == len(tensors) > 0
    for array, tensor in zip(arrays, tensors, strict=True):
        assert isinstance(tensor, torch.Tensor)
        assert not isinstance(array, torch.Tensor)
        assert np.shape(array) == tuple(tensor.shape)
        size = np.abs(array).max()
        np.testing.assert_allclose(tensor.numpy(), array, rtol=0, atol=1e-10 * size if size else 1e-10)


@cases
def test_gradients_are_slopes(function, shape):
    """gradcheck in float64. Neighbors, hinges and clips have kinks; draws of a density are nearly never 1e-6 away."""
    import torch

    given = [torch.tensor(z, requires_grad=True) for z in arguments(function, shape)]
    differentiable = [v.requires_grad for v in values(function(*given))]
    assert any(differentiable)
    assert torch.autograd.gradcheck(
        lambda *z: tuple(v for v, keep in zip(values(function(*z)), differentiable, strict=True) if keep), given
    )


@cases
@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_single_precision_stays_single(function, shape, kind):
    import torch

    single = [z.astype(np.float32) for z in arguments(function, shape)]
    result = function(*(map(torch.tensor, single) if kind == "torch" else single))
    expected = torch.float32 if kind == "torch" else np.float32
    assert all(v.dtype == expected for v in values(result))


@cases
@pytest.mark.gpu
def test_devices_agree(function, shape):
    """To 1e-10 on a CUDA device, where the values stay; gradients too."""
    import torch

    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    given = arguments(function, shape)
    host = [torch.tensor(z, requires_grad=True) for z in given]
    device = [torch.tensor(z, device="cuda", requires_grad=True) for z in given]
    found = []
    for tensors in (host, device):
        out = [v for v in values(function(*tensors)) if v.requires_grad]
        assert all(v.device == tensors[0].device for v in out)
        total: Any = sum(v.sum() for v in out)
        gradients = torch.autograd.grad(total, tensors)
        found.append([v.detach().cpu().numpy() for v in (*out, *gradients)])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(other, one, rtol=0, atol=1e-10 * max(1.0, np.abs(one).max()))
