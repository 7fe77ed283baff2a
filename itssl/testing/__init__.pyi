from . import strategies as strategies
