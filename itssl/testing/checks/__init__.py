"""The checks of the conformance suites, one file per kind; importing them registers them."""
