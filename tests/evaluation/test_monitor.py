"""The monitor of activations: its numbers are those of the rows that passed, and training does not notice it."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from itssl import GaussianPlugin, ParameterError, SampleError
from itssl.choices import UnknownNameError
from itssl.estimators import Ross
from itssl.evaluation import ActivationMonitor, effective_rank
from itssl.evaluation.monitor import WHOLE
from itssl.networks.encoders import NetworkError, mlp

RNG = np.random.default_rng(0)
X = torch.tensor(RNG.normal(size=(240, 4)))
LABELS = (X[:, 0] > 0).long()


def loop(network, watch=None, *, steps=6, batch=40, views=1):
    """Somebody's training: batches in order, SGD; returns the outputs of each pass."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    seen = []
    for step in range(steps):
        rows = slice(batch * step % 240, batch * step % 240 + batch)
        if watch is not None:
            watch.labels(LABELS[rows])
        outputs = [network(X[rows] + 0.1 * view) for view in range(views)]
        seen.append([z.detach().numpy().copy() for z in outputs])
        loss = torch.stack([z.square().mean() for z in outputs]).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return seen


def test_a_reading_is_that_of_the_rows_that_passed():
    network = mlp((4, 6, 2), seed=0)
    with ActivationMonitor(network, every=3, rows=40) as watch:
        seen = loop(network, watch)
    assert [reading.step for reading in watch.readings] == [0, 3]
    for reading in watch.readings:
        (z,) = seen[reading.step]
        rows = slice(40 * reading.step, 40 * reading.step + 40)
        assert (reading.layer, reading.n, reading.d) == (WHOLE, 40, 2)
        entropy = GaussianPlugin().entropy(z)
        assert (reading.entropy, reading.entropy_error) == (entropy.value, entropy.standard_error)
        assert reading.effective_rank == pytest.approx(effective_rank(np.cov(z.T)), rel=1e-12)
        assert reading.std == pytest.approx(math.sqrt(z.var(axis=0, ddof=1).mean()), rel=1e-12)
        assert reading.label_information == Ross().mutual_information(z, LABELS[rows].numpy()).value
        assert math.isnan(reading.views_information)
        assert reading.note == ""


def test_training_does_not_notice():
    alone, watched = mlp((4, 6, 2), seed=0), mlp((4, 6, 2), seed=0)
    state, local = torch.get_rng_state(), repr(np.random.get_state())  # noqa: NPY002, that it is not touched
    loop(alone)
    with ActivationMonitor(watched, ["0", "1"], every=1, rows=10, measures={"mean": np.mean}) as watch:
        loop(watched, watch)
        assert watched.training
    for a, b in zip(alone.parameters(), watched.parameters(), strict=True):
        assert torch.equal(a, b)
    assert torch.equal(torch.get_rng_state(), state)
    assert repr(np.random.get_state()) == local  # noqa: NPY002
    assert not any(module._forward_hooks for module in watched.modules())


def test_hooks_are_gone_after_an_error_and_attaching_twice_watches_once():
    network = mlp((4, 2), seed=0)
    watch = ActivationMonitor(network, every=1, rows=20)

    def interrupted():
        with watch:
            network(X[:20])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        interrupted()
    assert not network._forward_hooks
    network(X[:20])
    assert len(watch.readings) == 1
    with watch.attach():
        network(X[:20])
    assert [reading.step for reading in watch.readings] == [0, 1]


def test_rows_are_gathered_over_steps_until_there_are_enough():
    network = mlp((4, 2), seed=0)
    with ActivationMonitor(network, every=4, rows=100) as watch:
        seen = loop(network, watch, steps=5)
    first, second = watch.readings
    assert (first.step, first.n, second.step, second.n) == (0, 100, 4, 40)  # the loop ended before the second was full
    chosen = []
    with ActivationMonitor(network, every=4, rows=100, measures={"keep": lambda z: chosen.append(z) or 0.0}) as watch:
        seen = loop(network, watch, steps=3)
    np.testing.assert_array_equal(chosen[0][:80], np.concatenate([z for (z,) in seen[:2]]))
    assert {tuple(row) for row in chosen[0][80:]} < {tuple(row) for row in seen[2][0]}
    assert len({tuple(row) for row in chosen[0]}) == 100


def test_two_views_of_one_step_are_paired():
    network = mlp((4, 2), seed=0)
    with ActivationMonitor(network, views=2, every=2, rows=30) as watch:
        loop(network, watch, views=2)
    kept = []
    with ActivationMonitor(
        network, views=2, every=2, rows=40, measures={"z": lambda z: kept.append(z) or 1.0}
    ) as watch:
        seen = loop(network, watch, views=2)
    assert [reading.step for reading in watch.readings] == [0, 2, 4]
    for reading, z in zip(watch.readings, kept, strict=True):
        z_a, z_b = seen[reading.step]
        np.testing.assert_array_equal(z, z_a)
        assert reading.views_information == GaussianPlugin().mutual_information(z_a, z_b).value
    with ActivationMonitor(network, views=2, rows=10):
        network(X[:20])
        with pytest.raises(NetworkError, match="got 20 and 10 rows; pass views=1"):
            network(X[:10])


def test_labels_are_those_of_the_chosen_rows():
    network = nn.Sequential(nn.Identity())
    codes = torch.arange(200) % 2
    z = codes.double()[:, None] * 100 + torch.tensor(RNG.normal(size=(200, 1)))
    with ActivationMonitor(network, every=1, rows=60) as watch:
        watch.labels(codes)
        network(z)
        watch.labels(None)
        network(z)
        watch.labels(codes[:5])
        with pytest.raises(SampleError, match="labels: expected 200 labels, one for each row, got 5"):
            network(z)
    assert watch.readings[0].label_information == pytest.approx(math.log(2), abs=0.02)
    assert math.isnan(watch.readings[1].label_information)


def test_evaluation_copies_and_other_layers_are_not_counted():
    network = mlp((4, 6, 2), seed=0)
    with ActivationMonitor(network, ["0"], every=1, rows=20) as watch:
        teacher = copy.deepcopy(network)  # keeps the hooks
        teacher(X[:20])
        network.eval()
        network(X[:20])
        network.train()
        network(X[:20])
    assert [(reading.step, reading.layer, reading.d) for reading in watch.readings] == [(0, "0", 6)]


def test_what_the_next_layer_does_in_place_is_not_seen():
    network = nn.Sequential(nn.Linear(4, 3, dtype=torch.float64), nn.ReLU(inplace=True))
    kept = []
    with ActivationMonitor(network, "0", every=1, rows=40, measures={"z": lambda z: kept.append(z) or 0.0}):
        network(X[:40])
    assert (kept[0] < 0).any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_pictures_are_flattened_or_reduced_and_any_precision_is_read(dtype):
    network = nn.Conv2d(1, 2, 3, dtype=dtype)
    pictures = torch.tensor(RNG.normal(size=(30, 1, 4, 4)), dtype=dtype)
    with ActivationMonitor(network, every=1, rows=30) as flat:
        network(pictures)
    with ActivationMonitor(network, every=1, rows=30, reduce=lambda z: z.mean(dim=(2, 3))) as pooled:
        network(pictures)
    assert (flat.readings[0].d, pooled.readings[0].d) == (8, 2)
    assert math.isfinite(pooled.readings[0].entropy)


def test_what_cannot_be_measured_is_noted_and_training_goes_on():
    network = nn.Identity()
    wide = torch.tensor(RNG.normal(size=(10, 12)))
    with ActivationMonitor(network, every=1, rows=10, views=2) as watch:
        for z in (wide, torch.ones(10, 2), torch.full((10, 2), math.nan)):
            network(z)
            network(z)
    few, constant, undefined = watch.readings
    assert math.isnan(few.entropy)
    assert few.effective_rank > 1
    assert few.note == (
        "entropy: 10 rows, 12 columns; raise rows; information between views: 10 rows, 2 · 12 columns; raise rows"
    )
    assert (constant.entropy, constant.effective_rank, constant.std) == (-math.inf, 0.0, 0.0)
    assert constant.note.startswith("2 of 2 columns are constant")
    assert undefined.note == "activations that are not finite"
    assert math.isnan(undefined.effective_rank)


def test_outputs_that_are_no_rows_are_refused_with_the_cure():
    pair = nn.GRU(4, 3, batch_first=True, dtype=torch.float64)
    with (
        ActivationMonitor(pair, every=1),
        pytest.raises(NetworkError, match=r"\(network\): expected a tensor .* got tuple; pass reduce, e.g. lambda out"),
    ):
        pair(X[None, :20])
    with ActivationMonitor(pair, every=1, rows=20, reduce=lambda out: out[0][0]) as watch:
        pair(X[None, :20])
    assert watch.readings[0].d == 3
    with ActivationMonitor(nn.Flatten(0), every=1) as watch, pytest.raises(NetworkError, match=r"got shape \(8,\)"):
        watch.network(X[:2])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"layers": "encoder"}, UnknownNameError, "layer: expected one of .*'encoder'"),
        ({"every": 0}, ParameterError, "every: expected an integer >= 1"),
        ({"rows": 1}, ParameterError, "rows: expected an integer >= 2"),
        ({"views": 3}, UnknownNameError, "views: expected one of 1, 2, got 3"),
    ],
)
def test_bad_options_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        ActivationMonitor(mlp((4, 2), seed=0), **options)


def test_the_table_prints_and_becomes_a_frame():
    network = mlp((4, 2), seed=0)
    watch = ActivationMonitor(network, every=1, rows=40, measures={"<half>": lambda z: GaussianPlugin().entropy(z / 2)})
    assert "nothing was measured" in str(watch)
    assert len(watch.to_pandas()) == 0
    with watch:
        loop(network, watch, steps=2)
    frame = watch.to_pandas()
    assert list(frame["step"]) == [0, 1]
    np.testing.assert_allclose(frame["<half>"], frame["entropy"] - 2 * math.log(2), rtol=1e-12)
    assert "I(labels)" in str(watch)
    assert "I(views)" not in str(watch)
    page = watch._repr_html_()
    assert page.count("<tr>") == 3
    assert "&lt;half&gt;" in page
