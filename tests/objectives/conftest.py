"""Shared by the tests of objectives."""

import jaxtyping
import pytest


@pytest.fixture
def as_users_call(monkeypatch):
    """Without the shape checks of the tests, which would see unequal shapes and other names first."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
