"""For users' own tests: strategies, conformance suites for estimators, statements as assertions. The only importer of
hypothesis."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
