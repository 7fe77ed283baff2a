"""The fast inner loops; each has a naive twin in the tests."""
