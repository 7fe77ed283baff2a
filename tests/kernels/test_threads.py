"""Answers in order, one thread a product while they are computed, and all as it was afterwards."""

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
    """Memory is shared out among them: an inner call that saw one core would take it all for each of its threads."""
    before = cores()
    assert list(in_order(lambda _: cores(), range(3))) == [before] * 3
