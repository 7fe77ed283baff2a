"""What the check of memory sees: tables of any library, not buffers, tiles or what others did before."""

import tracemalloc

import numpy as np
import pytest
import torch

from itssl.claims.decision import Outcome
from itssl.testing import ConformanceError, check_entropy_estimator
from itssl.testing.checks import memory
from itssl.testing.checks.memory import CLEAR, FLOOR, HOLES, SHARE, peak_bytes

MIB = 2**20


def outcome(estimator, **promises):
    try:
        report = check_entropy_estimator(estimator, only="memory", **promises)
    except ConformanceError as error:
        report = error.report
    return report.findings[0].outcome


def buffer(x):
    return float(np.zeros(6 * MIB).sum() + x[0, 0])


def tiles(x):
    """256 rows at a time, beside all others."""
    nearest = [np.abs(x[i : i + 256, :1] - x[:, 0]).min() for i in range(0, len(x), 256)]
    return float(np.sum(nearest))


def tiles_of_torch(x):
    z = torch.tensor(x[:, 0])
    return float(sum((z[i : i + 256, None] - z).abs().min() for i in range(0, len(x), 256)))


def table(x):
    return float(np.ones((len(x), len(x)), dtype=bool).mean())


def kept_table(x, kept=[]):  # noqa: B006
    kept.append(np.ones((len(x), len(x)), dtype=bool))
    return 0.0


def table_of_torch(x):
    z = torch.tensor(x[:, :1], dtype=torch.float32)
    return float((z - z.T).mean())


@pytest.mark.parametrize(
    ("estimator", "expected"),
    [(buffer, "HOLDS"), (tiles, "HOLDS"), (tiles_of_torch, "HOLDS"), (table, "VIOLATED"), (kept_table, "VIOLATED")],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_tables_are_seen_and_buffers_are_not(estimator, expected):
    assert outcome(estimator) is Outcome(expected)


@pytest.mark.skipif(not CLEAR.exists(), reason="only Linux counts what torch allocates")
def test_tables_of_torch_are_seen():
    assert outcome(table_of_torch) is Outcome.VIOLATED


def test_tables_that_are_declared_are_allowed():
    assert outcome(table, memory="quadratic") is Outcome.NOT_APPLICABLE


def test_noise_on_one_measurement_is_no_failure(monkeypatch):
    """Peaks of 1, 2 and 8 MiB, the last twice with what another thread allocates; then always with it."""
    noise = iter([0, 0, 50 * MIB, 0, 0, 60 * MIB, 0, 0, 0])
    base = [MIB, 2 * MIB, 8 * MIB]
    found = iter([(size + next(noise), 0) for size in base * 3])
    monkeypatch.setattr(memory, "peak_bytes", lambda work: next(found))
    assert outcome(buffer) is Outcome.HOLDS
    found = iter([(MIB, 0), (2 * MIB, 0), (58 * MIB, 0)] * 3)
    assert outcome(buffer) is Outcome.VIOLATED


@pytest.mark.parametrize(("last", "fine"), [(SHARE, True), (SHARE + 1, False)])
@pytest.mark.parametrize("kind", [0, 1])
def test_growth_that_is_allowed(last, fine, kind):
    peaks = np.full((3, 2), MIB)
    growth = 2 * [FLOOR, HOLES][kind]
    peaks[:, kind] += np.array([0, growth, (1 + last) * growth])
    assert (memory._excess(peaks) <= 0) == fine


def test_a_peak_is_what_the_call_adds(monkeypatch):
    held = np.ones(4 * MIB)  # neither what is held before …
    size = 8 * 2 * MIB
    counted, beyond = peak_bytes(lambda: np.ones(2 * MIB).sum())
    assert size <= counted < size + MIB
    assert beyond < 4 * MIB
    monkeypatch.setattr(memory, "CLEAR", memory.Path("/nowhere/clear_refs"))  # … nor where the system says nothing
    assert peak_bytes(lambda: np.ones(2 * MIB).sum())[1] == 0
    assert held.sum() == 4 * MIB


def test_what_was_freed_before_is_part_of_no_peak():
    tracemalloc.start()
    try:
        np.ones(4 * MIB).sum()
        assert sum(peak_bytes(lambda: np.ones(MIB).sum())) < 16 * MIB
    finally:
        tracemalloc.stop()


@pytest.mark.skipif(not CLEAR.exists(), reason="only Linux counts what torch allocates")
def test_pages_that_the_process_has_kept_are_counted():
    """Blocks of torch below the size that the system gets back at once, the last of them held."""

    def blocks(n):
        return [torch.ones(2**14) for _ in range(n)]

    last = blocks(512)[-1]
    assert peak_bytes(lambda: blocks(256))[1] > 12 * MIB
    assert last.sum() == 2**14


@pytest.mark.parametrize("running", [True, False])
def test_tracing_goes_on_as_before_also_after_errors(running):
    def fails():
        raise KeyError("oh")

    was = tracemalloc.is_tracing()
    try:
        (tracemalloc.start if running else tracemalloc.stop)()
        with pytest.raises(KeyError):
            peak_bytes(fails)
        assert tracemalloc.is_tracing() == running
    finally:
        (tracemalloc.start if was else tracemalloc.stop)()
