"""Work on all cores in numpy: Python threads, each with matrix products of one thread, answers in their order."""

import math
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float

T = TypeVar("T")
R = TypeVar("R")


def in_order(work: Callable[[T], R], items: Sequence[T]) -> Generator[R, None, None]:
    """work(item) for each item, computed on all cores, yielded in the order of the items.

    What is added up in this order does not depend on the number of threads. There are as many as the process may use
    and matrix products were allowed to have, so OMP_NUM_THREADS and ``threadpool_limits`` count; products themselves
    are limited to one thread until all is done, and then have what they had, also after an exception.

    >>> list(in_order(lambda i: i**2, range(4)))
    [0, 1, 4, 9]
    """
    with _products.of_one_thread():
        threads = min(cores(), len(items))
        if threads <= 1:
            yield from map(work, items)
            return
        waiting: deque[Future[R]] = deque()  # two for each thread, so that answers nobody took yet are few
        with ThreadPoolExecutor(threads, initializer=_at_work) as pool:
            try:
                for item in items:
                    waiting.append(pool.submit(work, item))
                    if len(waiting) >= 2 * threads:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()


def cores() -> int:
    """How many threads may work at a time: what products may have, or had before a call here; 1 within its threads.

    >>> cores() >= 1
    True
    """
    if getattr(_local, "at_work", False):
        return 1
    return _products.available if _products.calls else _usable()


def _usable() -> int:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    allowed = max((library.num_threads for library in _libraries().lib_controllers), default=usable)
    return max(1, min(usable, allowed))


class Scratch(threading.local):
    """Arrays that each thread keeps from item to item: fresh memory costs more than what is computed in it.

    >>> Scratch().array("tile", 2, 3).shape
    (2, 3)
    """

    def array(self, name: str, *shape: int) -> Float[np.ndarray, "..."]:
        """An array of this shape with any content; it holds until the thread asks for the name again."""
        size = math.prod(shape)
        if name not in self.__dict__ or self.__dict__[name].size < size:
            self.__dict__[name] = np.empty(size)
        return self.__dict__[name][:size].reshape(shape)


def _libraries() -> Any:
    """The libraries of matrix products; looked for again, which takes a millisecond, after modules were loaded."""
    return _libraries_among(len(sys.modules))


@lru_cache(maxsize=1)
def _libraries_among(_: int) -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


class _Products:
    """The one limit that calls share which overlap in time: the first sets it, the last lifts it."""

    def __init__(self) -> None:
        self.lock, self.calls, self.available = threading.Lock(), 0, 1
        self.limit: Any = None

    @contextmanager
    def of_one_thread(self) -> Iterator[None]:
        """While any call is inside, products have one thread."""
        with self.lock:
            if not self.calls:
                self.available, self.limit = _usable(), _libraries().limit(limits=1)
            self.calls += 1
        try:
            yield
        finally:
            with self.lock:
                self.calls -= 1
                if not self.calls:
                    self.limit.restore_original_limits()

    def forget(self) -> None:
        """In a child of a fork none of the calls goes on."""
        self.lock = threading.Lock()
        if self.calls:
            self.calls = 0
            self.limit.restore_original_limits()


_products = _Products()
_local = threading.local()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_products.forget)


def _at_work() -> None:
    _local.at_work = True
