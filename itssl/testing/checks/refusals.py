"""A refusal says what is wrong with the samples; a crash says what went wrong in the code."""

import numpy as np

CRASHES = (ArithmeticError, LookupError, AttributeError, NameError, MemoryError, RecursionError)
"""What Python raises by itself where code goes on with what it cannot use: an empty list, a division by zero."""
ROUTINES = ("numpy.linalg", "scipy.linalg")


def crashed(error: BaseException) -> bool:
    """Whether an exception is a crash rather than a refusal.

    ValueError and TypeError, which NumPy raises too, are refusals with or without a message, others only with one. No
    refusals are the errors in ``CRASHES``, and a LinAlgError that a routine of linear algebra raised: it speaks of a
    matrix that the caller never saw. An estimator that raises LinAlgError itself refuses.

    >>> [crashed(e) for e in (ValueError("n <= k"), AssertionError("n <= k"), AssertionError(), IndexError("9"))]
    [False, False, True, True]
    """
    if type(error).__name__ == "_LinAlgError":  # torch's, raised by its routines alone
        return True
    if isinstance(error, np.linalg.LinAlgError):
        return _raised_in(error).startswith(ROUTINES)
    if isinstance(error, ValueError | TypeError):
        return False
    return isinstance(error, CRASHES) or not str(error)


def _raised_in(error: BaseException) -> str:
    """The name of the module whose code raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else str(trace.tb_frame.f_globals.get("__name__", ""))
