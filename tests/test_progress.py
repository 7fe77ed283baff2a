"""progress: nothing before five seconds, one bar whatever runs inside, silence where it was asked for."""

import subprocess
import sys
import time
from functools import partial
from types import SimpleNamespace

import pytest

import itssl
from itssl import progress
from itssl.progress import DELAY, no_progress, progress_bar


@pytest.fixture
def clock(monkeypatch):
    """The helper's clock, which a test moves on by hand."""
    now = SimpleNamespace(ahead=0.0)
    monkeypatch.setattr(progress, "time", SimpleNamespace(time=lambda: time.time() + now.ahead))
    return now


@pytest.fixture
def made(monkeypatch):
    """The options of every bar that is really made, a widget in Jupyter."""
    found, tqdm = [], progress._tqdm
    monkeypatch.setattr(progress, "_tqdm", lambda **options: found.append(options) or tqdm(**options))
    return found


def test_nothing_is_made_before_the_delay(clock, made, capfd):
    with progress_bar("rows", 3) as bar:
        for ahead in (0.0, DELAY / 2, DELAY - 0.5):
            clock.ahead = ahead
            bar.update()
    assert made == []
    assert capfd.readouterr() == ("", "")


def test_after_it_all_steps_count(clock, made, capfd):
    """Those from before the bar too, also in its rate: 40 steps in 10 seconds. Nothing remains at the end."""
    with progress_bar("rows", 400, unit="row") as bar:
        bar.update(39)
        clock.ahead = 10.0
        bar.update(note="half way")
        assert (bar._drawn.n, bar._drawn.total) == (40, 400)
    out, err = capfd.readouterr()
    assert out == ""
    assert len(made) == 1
    assert "rows:  10%" in err
    assert "40/400" in err
    assert err.split("\r")[-1].strip() == ""
    bar._drawn.start_t = time.time() - 10
    bar._drawn.last_print_t = time.time()
    assert bar._drawn.format_dict["initial"] == 0
    assert "4.00row/s" in str(bar._drawn)
    assert "half way" in str(bar._drawn)


@pytest.mark.parametrize("total", [8, None])
def test_a_bar_inside_is_a_note_of_the_outer_one(clock, made, total):
    """Its steps are seen although no step of the outer one has ended."""
    with progress_bar("report", 4) as outer:
        outer.update(note="labels")
        with progress_bar("standard error", total) as inner:
            clock.ahead = DELAY + 1
            inner.update(3)
        assert len(made) == 1
        assert outer._drawn.n == 1
        assert outer._drawn.postfix == f"labels, standard error 3{'/8' if total else ''}"
        with progress_bar("middle", 2), progress_bar("innermost", 9) as innermost:
            innermost.update()
        assert outer._drawn.postfix == "labels, innermost 1/9"
        outer.update()
        assert outer._drawn.postfix == ""
    assert len(made) == 1


def test_what_is_told_not_to_show_shows_nothing_from_within_either(clock, made):
    with progress_bar("report", 4, shown=False), progress_bar("standard error", 8) as inner:
        clock.ahead = DELAY + 1
        inner.update()
    with no_progress(), progress_bar("rows", 3) as bar:
        clock.ahead *= 2
        bar.update()
    assert made == []


def test_the_next_bar_is_its_own_again(clock, made):
    """Also after an error inside: the traceback that a notebook keeps holds no bar open."""
    with pytest.raises(ZeroDivisionError), progress_bar("fails", 2):
        _ = 1 / 0
    with progress_bar("rows", 3) as bar:
        clock.ahead = DELAY + 1
        bar.update()
    assert [options["desc"] for options in made] == ["rows"]


def test_tqdm_may_be_told_to_show_nothing(clock, monkeypatch, capfd):
    """As TQDM_DISABLE=1 does, with which notebooks are built."""
    monkeypatch.setattr(progress, "_tqdm", partial(progress._tqdm, disable=True))
    with progress_bar("rows", 3) as bar:
        clock.ahead = DELAY + 1
        bar.update()
        bar.update(note="half way")
    assert capfd.readouterr() == ("", "")


def test_no_bar_is_loaded_for_what_is_short():
    code = """
import sys, numpy as np, itssl
itssl.mutual_information(*np.random.default_rng(0).normal(size=(2, 60, 1)))
print("tqdm" in sys.modules)"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_silence_reaches_the_estimators(monkeypatch, made):
    """embedding_report(progress=False) used to show the bar of its slowest estimator."""
    rng = itssl.stream(0, "silence")
    z, labels = rng.normal(size=(100, 2)), rng.integers(2, size=100)
    monkeypatch.setattr(progress, "DELAY", 0.0)
    itssl.embedding_report(z, labels, progress=False)
    assert made == []
    itssl.embedding_report(z, labels, name="mine")
    assert [options["desc"] for options in made] == ["mine"]
    made.clear()
    itssl.check_equality(lambda rng: itssl.entropy(rng.normal(size=50)).value, 1.4, margin=1.0, max_replicates=32)
    assert [options["desc"] for options in made] == ["replicates"]
