"""Training: deterministic, harmless to its arguments and to global state, and honest when it is cut short."""

import math
import pickle
from itertools import chain

import numpy as np
import pytest
import torch
from torch import nn

from itssl.arrays import SampleError, stream
from itssl.choices import ParameterError
from itssl.networks.datasets import digits
from itssl.networks.encoders import embed, mlp, torch_generator, with_projector
from itssl.networks.training import TrainingError, TrainingInterrupted, TrainingRun, ZeroGradientWarning, train
from itssl.networks.views import AffineViews
from itssl.objectives import minimize, vicreg_terms

DATA = stream(0, "data").standard_normal((50, 4))


def noisy(x: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    def draw() -> torch.Tensor:
        return x + 0.1 * torch.randn(x.shape, generator=generator, dtype=x.dtype)

    return draw(), draw()


def vicreg(z_a: torch.Tensor, z_b: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """VICReg 25/25/1 in the normalization "reference"."""
    d, off = z_a.shape[1], ~torch.eye(z_a.shape[1], dtype=torch.bool)
    invariance = (z_a - z_b).square().mean()
    variance = sum(torch.relu(1 - (z.var(dim=0) + 1e-4).sqrt()).mean() for z in (z_a, z_b)) / 2
    covariance = sum(torch.cov(z.T)[off].square().sum() / d for z in (z_a, z_b))
    terms = {"invariance": invariance, "variance": torch.as_tensor(variance), "covariance": torch.as_tensor(covariance)}
    return 25 * invariance + 25 * variance + covariance, terms


def dropout_encoder() -> nn.Sequential:
    network = mlp((4, 8, 3), seed=0)
    return nn.Sequential(network, nn.BatchNorm1d(3).double(), nn.Dropout(0.3))


def short(encoder: nn.Module | None = None, objective=vicreg, data=DATA, views=noisy, **options) -> TrainingRun:
    options = {"seed": 0, "epochs": 3, "batch_size": 16, "progress": False} | options
    return train(encoder or dropout_encoder(), objective, data, views, **options)


def weights(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture
def two_threads():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


def global_state() -> tuple:
    return (
        torch.get_rng_state().tolist(),
        np.random.get_state(legacy=False)["state"]["key"].tolist(),  # noqa: NPY002
        torch.get_num_threads(),
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        torch.are_deterministic_algorithms_enabled(),
    )


def test_a_run_is_a_function_of_its_arguments(two_threads):
    torch.manual_seed(1)
    first = short(evaluate=lambda network: {"mean": embed(network, DATA).mean()})
    torch.manual_seed(2)
    torch.set_num_threads(1)
    second = short(evaluate=lambda network: {"mean": embed(network, DATA).mean()})
    assert same(weights(first.encoder), weights(second.encoder))
    for name, series in {**first.metrics, **first.evaluations}.items():
        np.testing.assert_array_equal(series, {**second.metrics, **second.evaluations}[name])
    assert not same(weights(first.encoder), weights(short(seed=1).encoder))


def test_evaluation_does_not_influence_the_run():
    def evaluate(network: nn.Module) -> dict[str, float]:
        network.train()
        torch.rand(5)
        network(torch.tensor(DATA)).sum().backward()
        network.eval()
        return {"x": torch.rand(1).item()}

    watched = short(nn.Sequential(mlp((4, 8, 3), seed=0), nn.Dropout(0.3)), evaluate=evaluate, evaluate_every=1)
    assert same(
        weights(watched.encoder), weights(short(nn.Sequential(mlp((4, 8, 3), seed=0), nn.Dropout(0.3))).encoder)
    )


def test_nothing_of_the_callers_is_changed(two_threads):
    encoder, data = dropout_encoder(), DATA.copy()
    encoder[1].eval()
    data.flags.writeable = False
    before, modes = weights(encoder), [module.training for module in encoder.modules()]
    state = global_state()
    threads = []
    run = short(encoder, data=data, evaluate=lambda network: {"threads": threads.append(torch.get_num_threads()) or 0})
    assert global_state() == state
    assert same(weights(encoder), before)
    assert not same(weights(run.encoder), before)
    assert [module.training for module in encoder.modules()] == modes
    assert all(parameter.grad is None for parameter in encoder.parameters())
    assert not any(module.training for module in run.encoder.modules())
    assert set(threads) == {1}


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_global_state_is_restored_after_an_error(error, two_threads):
    def objective(z_a: torch.Tensor, z_b: torch.Tensor) -> torch.Tensor:
        raise error

    state = global_state()
    with pytest.raises(error):
        short(objective=objective)
    assert global_state() == state


def test_metrics_are_those_of_a_loop_written_out():
    """The naive twin: AdamW by its formulas, cosine decay, one linear layer, full batches."""
    encoder, rate, decay = mlp((4, 2), seed=0), 0.05, 0.1
    encoder.get_parameter("0.bias").requires_grad_(False).zero_()
    run = short(
        encoder, lambda a, b: ((a - b).square().mean() - a.var(), {"spread": a.var()}), epochs=4, batch_size=50,
        learning_rate=rate, weight_decay=decay,
    )  # fmt: skip
    w = encoder.get_parameter("0.weight").detach().clone()
    m, v = torch.zeros_like(w), torch.zeros_like(w)
    batches, views = torch_generator(0, "train", "batches"), torch_generator(0, "train", "views")
    rounding = 4 * 200 * 100 * np.finfo(float).eps  # 4 steps of sums of 200 terms, cancellation at most hundredfold
    for t in range(4):
        order = torch.randperm(50, generator=batches)
        view_a, view_b = noisy(torch.tensor(DATA)[order], views)
        w.requires_grad_()
        a, b = view_a @ w.T, view_b @ w.T
        loss = (a - b).square().mean() - a.var()
        (g,) = torch.autograd.grad(loss, w)
        lr = rate * (1 + math.cos(math.pi * t / 4)) / 2
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        step = lr * (m / (1 - 0.9 ** (t + 1))) / ((v / (1 - 0.999 ** (t + 1))).sqrt() + 1e-8)
        w = w.detach() * (1 - lr * decay) - step
        expected = {
            "loss": loss,
            "gradient_norm": g.norm(),
            "learning_rate": torch.tensor(lr, dtype=w.dtype),
            "spread": a.var(),
        }
        for name, value in expected.items():
            assert run.metrics[name][t] == pytest.approx(float(value.detach()), rel=rounding), name
    torch.testing.assert_close(run.encoder.get_parameter("0.weight").detach(), w, rtol=rounding, atol=0)


def test_each_epoch_visits_distinct_rows_in_a_new_order():
    seen: list[list[float]] = []

    def spy(x: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        seen.append(x[:, 0].tolist())
        return x, x

    run = short(mlp((1, 1), seed=0), lambda a, b: a.square().mean(), np.arange(50.0)[:, None], spy, epochs=2)
    assert [len(batch) for batch in seen] == [16] * 6 == [16] * len(run.metrics["loss"])
    epochs = [[*chain(*seen[:3])], [*chain(*seen[3:])]]
    assert all(len(set(epoch)) == 48 for epoch in epochs)
    assert epochs[0] != epochs[1]


@pytest.mark.parametrize(
    ("every", "expected"), [(None, [0, 3, 6, 9]), (4, [0, 4, 8, 9]), (9, [0, 9]), (100, [0, 9]), (1, [*range(10)])]
)
def test_evaluation_steps(every, expected):
    encoder = dropout_encoder()
    modes = []

    def evaluate(network: nn.Module) -> dict[str, float]:
        modes.append(network.training)
        return {"first": embed(network, DATA)[0, 0]}

    run = short(encoder, evaluate=evaluate, evaluate_every=every)
    assert run.evaluation_steps.tolist() == expected
    assert not any(modes)
    assert run.evaluations["first"][0] == embed(encoder, DATA)[0, 0]
    assert run.evaluations["first"][-1] == embed(run.encoder, DATA)[0, 0]
    assert encoder.training


def test_an_interrupt_loses_nothing():
    calls = iter(range(100))

    def objective(z_a: torch.Tensor, z_b: torch.Tensor):
        if next(calls) == 5:
            raise KeyboardInterrupt
        return vicreg(z_a, z_b)

    whole = short()
    with pytest.raises(TrainingInterrupted, match="interrupted after 5 of 9 steps") as caught:
        short(objective=objective, evaluate=lambda network: {"mean": embed(network, DATA).mean()})
    run = caught.value.run
    np.testing.assert_array_equal(run.metrics["loss"], whole.metrics["loss"][:5])
    assert run.evaluation_steps.tolist() == [0, 3]
    assert run.evaluations["mean"].shape == (2,)
    assert not run.encoder.training


def test_a_loss_that_is_not_finite_stops_the_run_before_the_weights_are_spoiled():
    calls = iter(range(100))

    def objective(z_a: torch.Tensor, z_b: torch.Tensor) -> torch.Tensor:
        return z_a.square().mean() * (math.nan if next(calls) == 2 else 1)

    with pytest.raises(TrainingError, match=r"got loss nan and gradient norm nan at step 2 of 9; lower") as caught:
        short(objective=objective)
    assert caught.value.run is not None
    assert len(caught.value.run.metrics["loss"]) == 2
    assert all(parameter.isfinite().all() for parameter in caught.value.run.encoder.parameters())
    with pytest.raises(TrainingError, match=r"gradient norm (nan|inf) at step 0"):
        short(objective=lambda a, b: (a - a).square().sum().sqrt(), views=lambda x, generator: (x, x))


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (lambda a, b: 1.0, "expected a scalar tensor with a gradient, got float"),
        (lambda a, b: a.square(), r"got Tensor of shape \(16, 3\), requires_grad=True"),
        (lambda a, b: a.detach().sum(), r"got Tensor of shape \(\), requires_grad=False"),
        (lambda a, b: (a.sum(), {"loss": 1.0}), r"other names than \['loss'\]"),
        (lambda a, b: (a.sum(), {str(a.sum().item()): 1.0}), "expected the same names every time"),
    ],
)
def test_objectives_that_do_not_fit_are_refused(objective, message):
    with pytest.raises(TrainingError, match=message):
        short(objective=objective)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs: expected an integer >= 1, got 0"),
        ({"batch_size": 1}, "batch_size: expected an integer >= 2, got 1"),
        ({"batch_size": 51}, "batch_size: expected at most the 50 rows of data, got 51"),
        ({"learning_rate": 0.0}, "learning_rate: expected a finite number > 0"),
        ({"weight_decay": -1.0}, "weight_decay: expected a finite number >= 0, got -1.0"),
        ({"evaluate_every": 0}, "evaluate_every: expected an integer >= 1"),
        ({"encoder": mlp((4, 2), seed=0).requires_grad_(False)}, "encoder: expected trainable parameters, got none"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ParameterError, match=message):
        short(**options)


def test_bad_data_and_seeds_are_refused():
    with pytest.raises(SampleError, match="data: expected finite"):
        short(data=np.full((50, 4), np.nan))
    with pytest.raises(SampleError, match="seed"):
        short(seed=-1)


def test_a_run_is_a_frozen_record_that_travels():
    run = short()
    with pytest.raises(ValueError, match="read-only"):
        run.metrics["loss"][0] = 0.0
    assert run.config["steps"] == 9
    assert run.config["objective"] == "vicreg"
    assert run.seconds > 0
    assert "seed 0: loss" in repr(run)
    assert "<table>" in run._repr_html_()
    copy = pickle.loads(pickle.dumps(run))
    np.testing.assert_array_equal(copy.metrics["loss"], run.metrics["loss"])
    assert same(weights(copy.encoder), weights(run.encoder))


def test_a_run_as_a_frame_has_a_row_for_each_step_and_evaluation():
    run = short(evaluate=lambda network: {"<b>": 1.0}, evaluate_every=4)
    frame = run.to_pandas()
    assert list(frame.columns) == [*run.metrics, "<b>"]
    assert frame.index.name == "step"
    assert list(frame.index) == list(range(10))  # 9 steps and the evaluation after them
    np.testing.assert_array_equal(frame["loss"].dropna(), run.metrics["loss"])
    assert list(frame.index[frame["<b>"].notna()]) == list(run.evaluation_steps) == [0, 4, 8, 9]
    assert "&lt;b&gt;" in run._repr_html_()
    assert list(short().to_pandas().columns) == list(run.metrics)


def test_progress_goes_to_stderr_and_only_when_asked(capfd, every_step_shown):
    short(progress=True)
    shown = capfd.readouterr()
    assert "9/9" in shown.err
    assert "loss" in shown.err
    assert shown.out == ""
    short(progress=False)
    assert capfd.readouterr() == ("", "")


def test_vicreg_on_digits_does_not_collapse():
    """In an eighth of the usual run every coordinate of the embedding gains spread; without the hinge it collapses."""
    data, options = digits(), {"seed": 0, "epochs": 8, "progress": False}
    encoder = mlp((64, 256, 256, 128), seed=0, dtype=torch.float32)
    encoder = with_projector(encoder, mlp((128, 256, 256, 64), seed=1, dtype=torch.float32))
    run = train(encoder, vicreg, data.train_x, AffineViews(), **options)
    assert run.metrics["loss"][-1] < run.metrics["loss"][0]
    assert run.metrics["variance"][-1] < run.metrics["variance"][0]
    collapsed = train(encoder, lambda a, b: (a - b).square().mean(), data.train_x, AffineViews(), **options)
    start, end, control = (
        embed(network, data.test_x).std(axis=0) for network in (encoder, run.encoder, collapsed.encoder)
    )
    assert end.min() > start.min()
    assert control.max() < start.min()


def test_collapse_is_explained_once():
    """All embeddings equal: VICReg has no gradient, and without weight decay nothing moves."""
    encoder = mlp((4, 3), seed=0)
    with torch.no_grad():
        next(encoder.parameters()).zero_()
    objective = minimize(vicreg_terms, normalization="reference")
    with pytest.warns(ZeroGradientWarning, match=r"exactly zero at step 0 of 9.*collapse_report") as seen:
        run = short(encoder, objective, weight_decay=0.0)
    assert len(seen) == 1
    assert same(weights(run.encoder), weights(encoder))
    assert (run.metrics["gradient_norm"] == 0).all()
