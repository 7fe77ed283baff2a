"""Two processes give the value and the gradient of one with all rows, or an error on both."""

import numpy as np
import pytest
import torch
from objective_twins import EPS, EVERY, views
from torch.multiprocessing.spawn import spawn
from two_processes import BYOLS, NAMES, ROWS, D, evaluated, work

from itssl.objectives.gathering import as_views, gathered


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What each process found; they exchange by gloo, started from a file."""
    folder = tmp_path_factory.mktemp("processes")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")  # on a busy machine threads that wait for each other take minutes
        patch.setenv("OPENBLAS_NUM_THREADS", "1")
        spawn(work, args=(str(folder),), nprocs=2)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("name", NAMES)
def test_two_processes_train_as_one(found, name):
    loss, parameters = evaluated(name, slice(None))
    gradients = torch.autograd.grad(loss, parameters)
    error = 1e4 * EPS * (1 + abs(loss.item()) + max(float(g.abs().max()) for g in gradients))
    for of_process in found:
        assert of_process[name]["loss"].item() == pytest.approx(loss.item(), abs=error)
        for mine, expected in zip(of_process[name]["gradients"], gradients, strict=True):
            torch.testing.assert_close(mine, expected, rtol=0, atol=error)
    assert max(float(g.abs().max()) for g in gradients) > 1e3 * error


@pytest.mark.parametrize("name", NAMES)
def test_without_gathering_every_process_has_its_own_value(found, name):
    values = []
    for rank, of_process in enumerate(found):
        loss, _ = evaluated(name, slice(rank * ROWS // 2, (rank + 1) * ROWS // 2))
        assert of_process[name]["local"].item() == pytest.approx(loss.item(), rel=1e3 * EPS, abs=1e3 * EPS)
        values.append(loss.item())
    assert abs(values[0] - values[1]) > 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_unequal_batches_are_refused_on_both(found, name):
    message = "expected one shape (n, d) on all processes, got (5, 3), (4, 3); drop the last, incomplete batch"
    for of_process in found:
        assert message in of_process[name]["uneven"]


def test_what_one_process_cannot_admit_is_refused_on_both(found):
    for of_process in found:
        for name in ("VICReg solo", "InfoNCE", "MEC", "BYOL"):
            assert "expected finite values, got NaN or infinite ones" in of_process[name]["nan"]
        for name in ("VICReg solo", "InfoNCE", "MEC"):
            assert "expected one shape (n, d) on all processes, got (4, 3), 3 axes" in of_process[name]["axes"]
            whole = EVERY[name].terms(*views(2, D)).total()
            assert of_process[name]["one row each"].item() == pytest.approx(whole, rel=1e3 * EPS)


def test_all_objectives_are_there():
    assert len(NAMES) == len(EVERY) - 1
    assert set(BYOLS) < set(EVERY)


def test_without_a_process_group_nothing_is_copied():
    z = torch.zeros(3, 2)
    assert gathered(z) is z
    for gather in (True, False):
        assert as_views(z, z, gather=gather)[1] is z
    plain = np.zeros((3, 2))
    assert as_views(plain, plain)[1] is plain
