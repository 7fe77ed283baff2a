"""The environment of other packages: made once, at pinned versions, each package optional."""

import json
import os
import subprocess
import sys
from pathlib import Path

import platformdirs

PINS = {
    "numpy": "2.4.6", "scipy": "1.17.1", "scikit-learn": "1.9.1", "infomeasure": "0.6.3", "ennemi": "1.5.0",
    "faiss-cpu": "1.15.1",
}  # fmt: skip
"""numpy, scipy and scikit-learn as in constraints.txt."""


def environment(folder: Path | None) -> tuple[Path, dict[str, str]]:
    """Its interpreter, and the packages that could not be installed with pip's reason.

    ``folder`` is by default in the user's cache. What is installed already is not installed again; pip is the only
    thing here that reaches out.
    """
    folder = folder or platformdirs.user_cache_path("itssl") / f"peers-{sys.version_info[0]}.{sys.version_info[1]}"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    record = folder / "installed.json"
    if record.exists() and (kept := json.loads(record.read_text()))["pins"] == PINS:
        return python, kept["absent"]
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    absent = {}
    for name, version in PINS.items():
        reason = install(python, [f"{name}=={version}"], [f"{n}=={v}" for n, v in PINS.items()])
        if reason:
            absent[name] = reason
    if not absent:  # else the next run tries again
        record.write_text(json.dumps({"pins": PINS, "absent": absent}))
    return python, absent


def install(python: Path, packages: list[str], constraints: list[str]) -> str:
    """pip's last word where it fails, else nothing."""
    bounds = python.parent / "constraints.txt"
    bounds.write_text("\n".join(constraints) + "\n")
    command = [
        str(python),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--constraint",
        str(bounds),
    ]
    done = subprocess.run([*command, *packages], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return ""
    said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["pip failed"]
    return said[-1][:200]
