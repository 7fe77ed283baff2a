"""Answers in order, one thread a product while they are computed, and all as it was afterwards."""

import os
import threading
import time

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from itssl.kernels.threads import cores, in_order


def threads_of_products():
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


def test_answers_come_in_the_order_of_the_items():
    def work(i):
        time.sleep(0.002 * (i % 3 == 0))
        return i, max(threads_of_products())

    before = threads_of_products()
    assert list(in_order(work, range(7))) == [(i, 1) for i in range(7)]
    assert threads_of_products() == before


def test_limits_come_back_after_an_exception_and_after_calls_that_overlap():
    before = threads_of_products()
    with pytest.raises(ZeroDivisionError):
        list(in_order(lambda i: 1 / i, range(3)))
    assert threads_of_products() == before
    first, second = in_order(abs, range(3)), in_order(abs, range(3))
    next(first)
    next(second)
    first.close()
    assert max(threads_of_products()) == 1
    second.close()
    assert threads_of_products() == before


def test_a_limit_of_the_user_counts():
    with threadpool_limits(limits=1):
        assert cores() == 1


def test_calls_that_overlap_know_how_many_cores_there_are():
    """Memory is shared out among them: one that saw a single core would take it all for each of its threads."""
    before, first = cores(), in_order(abs, range(3))
    next(first)
    assert cores() == before
    first.close()


@pytest.mark.skipif(cores() == 1, reason="needs two threads")
def test_work_within_work_starts_no_threads():
    assert list(in_order(lambda _: cores(), range(3))) == [1, 1, 1]
    names = list(in_order(lambda _: set(in_order(lambda _: threading.get_ident(), range(4))), range(3)))
    assert [len(found) for found in names] == [1, 1, 1]


def test_answers_that_nobody_took_are_few():
    done: list[int] = []
    answers = in_order(done.append, range(100))
    for _ in range(3):
        next(answers)
        time.sleep(0.01)
    assert len(done) <= 3 + 2 * cores()
    answers.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_a_child_of_a_fork_has_what_its_parent_had():
    before, answers = threads_of_products(), in_order(abs, range(9))
    next(answers)
    child = os.fork()
    if not child:
        os._exit(0 if threads_of_products() == before and list(in_order(abs, range(3))) == [0, 1, 2] else 1)
    assert os.waitpid(child, 0)[1] == 0
    answers.close()
