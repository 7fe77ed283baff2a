"""The environment of other packages: made once, at pinned versions, each package optional."""

from pathlib import Path

from experiments import environments

PINS = {
    "numpy": "2.4.6", "scipy": "1.17.1", "scikit-learn": "1.9.1", "infomeasure": "0.6.3", "ennemi": "1.5.0",
    "faiss-cpu": "1.15.1",
}  # fmt: skip
"""numpy, scipy and scikit-learn as in constraints.txt."""


def environment(folder: Path | None) -> tuple[Path, dict[str, str]]:
    """Its interpreter, and the packages that could not be installed; ``folder`` is by default in the user's cache."""
    each = [{name: version} for name, version in PINS.items()]
    bounds = [f"{name}=={version}" for name, version in PINS.items()]
    return environments.environment(folder or environments.in_cache("peers"), each, bounds)
