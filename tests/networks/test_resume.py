"""Runs that are cut short anywhere and go on from their checkpoint, to the last bit; and runs with a state (BYOL)."""

import os
import pickle
import random
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from itssl.arrays import stream
from itssl.networks.encoders import embed, mlp
from itssl.networks.training import CheckpointError, TrainingInterrupted, TrainingRun, _name, train
from itssl.objectives import BYOL, byol_logdet_terms, infonce_terms, minimize, vicreg_terms

DATA = stream(0, "resume").standard_normal((40, 4))
STEPS = 8
VICREG = minimize(vicreg_terms, normalization="reference")


def byol() -> BYOL:
    predictor = nn.Sequential(mlp((3, 4), seed=2), nn.BatchNorm1d(4).double(), nn.Dropout(0.2), mlp((4, 3), seed=3))
    return BYOL(predictor, decay=0.8, function=byol_logdet_terms, options={"beta": 2.0}, weights=(1.0, 0.1))


OBJECTIVES = {"VICReg": lambda: VICREG, "BYOL": byol}


class Views:
    """Two noisy views; ``error`` after so many calls."""

    def __init__(self, calls: int = 10**9, error: type[BaseException] = ZeroDivisionError) -> None:
        self.calls, self.error = calls, error

    def __call__(self, x: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        noise = torch.randn((2, *x.shape), generator=generator, dtype=x.dtype)
        if self.calls == 0:
            raise self.error
        self.calls -= 1
        return x + 0.1 * noise[0], x + 0.1 * noise[1]

    def __repr__(self) -> str:
        return "Views()"


def evaluate(network: nn.Module) -> dict[str, float]:
    return {"spread": float(embed(network, DATA).std()), "draw": float(torch.rand(()))}


def encoder(dropout: float = 0.3) -> nn.Module:
    return nn.Sequential(mlp((4, 6, 3), seed=0), nn.BatchNorm1d(3).double(), nn.Dropout(dropout))


def run(
    objective: Any = VICREG, views: Any = None, network: Any = None, data: Any = DATA, **options: Any
) -> TrainingRun:
    options = {"seed": 0, "epochs": 4, "batch_size": 20, "evaluate": evaluate, "evaluate_every": 3} | options
    return train(network or encoder(), objective, data, views or Views(), progress=False, **options)


def assert_same(a: TrainingRun, b: TrainingRun) -> None:
    """Bit by bit."""
    for mine, its in ((a.encoder, b.encoder), (a.learner, b.learner)):
        assert mine.state_dict().keys() == its.state_dict().keys()
        for name, value in mine.state_dict().items():
            assert torch.equal(value, its.state_dict()[name]), name
    assert a.metrics.keys() == b.metrics.keys()
    for of_a, of_b in ((a.metrics, b.metrics), (a.evaluations, b.evaluations)):
        assert of_a.keys() == of_b.keys()
        for name, series in of_a.items():
            np.testing.assert_array_equal(series, of_b[name])
    np.testing.assert_array_equal(a.evaluation_steps, b.evaluation_steps)
    assert a.config == b.config


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("every", [1, 3, None])
def test_an_error_at_any_step_costs_nothing_but_time(name, every, tmp_path):
    make = OBJECTIVES[name]
    whole = run(make())
    for step in range(STEPS):
        file = tmp_path / f"{step}.pt"
        with pytest.raises(ZeroDivisionError):
            run(make(), Views(step), checkpoint=file, checkpoint_every=every)
        assert file.exists() == (step >= (every or 2))
        left = Views(STEPS - step // (every or 2) * (every or 2))
        torch.manual_seed(step)
        assert_same(run(make(), left, checkpoint=file, checkpoint_every=every), whole)
        assert left.calls == 0  # no step was taken twice that need not be
    assert sorted(os.listdir(tmp_path)) == [f"{step}.pt" for step in range(STEPS)]


@pytest.mark.parametrize("name", OBJECTIVES)
def test_interrupted_again_and_again(name, tmp_path):
    make, file = OBJECTIVES[name], str(tmp_path / "a" / "b" / "run.pt")
    for done in range(STEPS - 1):
        with pytest.raises(TrainingInterrupted) as caught:
            run(make(), Views(1, KeyboardInterrupt), checkpoint=file, checkpoint_every=1)
        assert len(caught.value.run.metrics["loss"]) == done + 1
    assert_same(run(make(), Views(1), checkpoint=file, checkpoint_every=1), run(make()))


def test_an_error_while_evaluating_or_saving(tmp_path, monkeypatch):
    whole, file = run(), tmp_path / "run.pt"
    calls = iter(range(100))

    def failing(network: nn.Module) -> dict[str, float]:
        if next(calls) == 2:
            raise ZeroDivisionError
        return evaluate(network)

    failing.__qualname__ = evaluate.__qualname__
    with pytest.raises(ZeroDivisionError):
        run(evaluate=failing, checkpoint=file, checkpoint_every=1)
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda source, target: (_ for _ in ()).throw(OSError("disk")))
        with pytest.raises(OSError, match="disk"):
            run(checkpoint=file, checkpoint_every=1)
    assert os.listdir(tmp_path) == ["run.pt"]
    assert_same(run(checkpoint=file, checkpoint_every=2), whole)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_finished_run_is_read_without_training(name, tmp_path):
    make, file = OBJECTIVES[name], tmp_path / "run.pt"
    first = run(make(), checkpoint=file)
    before = file.read_bytes()
    again = run(make(), Views(0), checkpoint=file)
    assert_same(first, again)
    assert_same(first, run(make()))
    assert file.read_bytes() == before
    assert not again.encoder.training
    assert again.seconds >= first.seconds * 0.5


def test_another_run_is_refused_by_what_differs(tmp_path):
    file = tmp_path / "run.pt"
    run(checkpoint=file)
    before = file.read_bytes()
    state = torch.get_rng_state()
    changed = DATA.copy()
    changed[7, 2] = np.nextafter(changed[7, 2], 10)
    shifted = encoder()
    with torch.no_grad():
        next(shifted.parameters())[0, 0] += 1e-12
    for options, what in (
        ({"seed": 1}, "seed is 0 there and 1 here"),
        ({"epochs": 5}, "epochs is 4 there and 5 here; steps is 8 there and 10 here"),
        ({"batch_size": 10}, "batch_size is 20 there and 10 here"),
        ({"learning_rate": 2e-3}, "learning_rate is 0.001 there and 0.002 here"),
        ({"weight_decay": 0.0}, "weight_decay is 0.0001 there and 0.0 here"),
        ({"evaluate_every": 4}, "evaluate_every is 3 there and 4 here"),
        ({"evaluate": None}, "evaluate is evaluate there and None here"),
        ({"data": changed}, "data is "),
        ({"network": shifted}, "starting weights is "),
        ({"network": encoder(dropout=0.5)}, "layers is "),
        ({"objective": minimize(vicreg_terms, normalization="solo")}, "objective is .*reference.* there and .*solo"),
        ({"objective": minimize(infonce_terms)}, "objective is .* there and infonce_terms"),
        ({"objective": byol()}, "objective is .* there and BYOL"),
        ({"views": nn.Identity()}, r"views is Views\(\) there and Identity\(\) here"),
    ):
        with pytest.raises(CheckpointError, match=f"run.pt: expected the checkpoint of this run, .*{what}"):
            run(**{"views": Views(0), "checkpoint": file} | options)
    assert file.read_bytes() == before
    assert torch.equal(torch.get_rng_state(), state)
    file = tmp_path / "byol.pt"
    run(byol(), checkpoint=file)
    moved = byol()
    with torch.no_grad():
        next(moved.predictor.parameters())[0, 0] += 1e-12
    with pytest.raises(CheckpointError, match="starting weights is"):
        run(moved, Views(0), checkpoint=file)


def test_a_damaged_file_is_no_reason_to_start_anew(tmp_path):
    file = tmp_path / "run.pt"
    run(checkpoint=file)
    whole = file.read_bytes()
    for damaged in (b"", b"notes\n", whole[: len(whole) // 2], whole[:-1]):
        file.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"run.pt: expected a checkpoint .* delete it to start anew"):
            run(views=Views(0), checkpoint=file)
        assert file.read_bytes() == damaged


def test_numbers_of_numpy_are_numbers(tmp_path):
    options = {"learning_rate": float(np.float64(3e-3)), "weight_decay": 1e-3, "epochs": 2}
    numpys = {"learning_rate": np.float64(3e-3), "weight_decay": np.float64(1e-3), "epochs": 2}
    with pytest.raises(ZeroDivisionError):
        run(views=Views(2), checkpoint=tmp_path / "run.pt", **numpys)
    assert_same(run(checkpoint=tmp_path / "run.pt", **options), run(**numpys))


def test_names_are_the_same_in_every_process():
    for thing in (partial(vicreg_terms, normalization="solo"), object(), [VICREG, lambda z: z], Views().__call__):
        assert "0x" not in _name(thing)
    assert _name(partial(vicreg_terms, normalization="solo")) != _name(partial(vicreg_terms, normalization="equation"))


def test_byol_trains_encoder_and_predictor_and_moves_the_target():
    config, network = byol(), encoder()
    given = {name: value.clone() for name, value in config.predictor.state_dict().items()}
    done = run(config, network=network)
    assert list(done.metrics) == ["loss", "gradient_norm", "learning_rate", "prediction", "entropy"]
    np.testing.assert_allclose(
        done.metrics["loss"], done.metrics["prediction"] + 0.1 * done.metrics["entropy"], rtol=1e-14
    )
    assert all(torch.equal(value, given[name]) for name, value in config.predictor.state_dict().items())
    learner = done.learner.state_dict()
    for name, value in given.items():
        if name.endswith("weight"):
            assert not torch.equal(value, learner[f"predictor.{name}"]), name
    for name, online in done.encoder.named_parameters():
        start, target = network.get_parameter(name), learner[f"target.{name}"]
        between = ((target - start) * (online - target) >= 0).double().mean()
        assert not torch.equal(target, start)
        assert between > 0.5, name  # the target lags behind
    assert torch.equal(learner["target.1.running_mean"], done.encoder.state_dict()["1.running_mean"])
    assert not done.learner.training
    copy = pickle.loads(pickle.dumps(done))
    assert_same(copy, done)
    stateless = run()
    assert list(stateless.learner.state_dict()) == []


SCRIPT = """
import sys
sys.path[:0] = {paths!r}
from test_resume_module import Views, byol, run
class Telling(Views):
    def __call__(self, x, generator):
        print("step", flush=True)
        return super().__call__(x, generator)
run(byol(), Telling(), checkpoint={file!r}, checkpoint_every=1, epochs=20)
"""


@pytest.mark.slow
def test_killed_by_the_system_at_random_steps(tmp_path):
    """SIGKILL at random moments, until a process comes through; the same bits as a run in one piece."""
    file, draw = tmp_path / "checkpoints" / "run.pt", random.Random(0)
    (tmp_path / "test_resume_module.py").write_text(Path(__file__).read_text())
    root = Path(__file__).parents[2]
    code = SCRIPT.format(paths=[str(tmp_path), str(root), str(root / "tests")], file=str(file))
    kills = 0
    while True:
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(draw.randint(2, 10)):
                process.stdout.readline()
            time.sleep(draw.uniform(0, 0.01))
            if process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL
        kills += 1
        assert kills < 40
    assert kills >= 3
    assert_same(run(byol(), Views(0), checkpoint=file, epochs=20), run(byol(), epochs=20))
    assert os.listdir(file.parent) == ["run.pt"]
