"""Environments of other packages: each made once, at pinned versions; what cannot be installed is named."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import platformdirs


def in_cache(name: str) -> Path:
    """The folder of an environment in the user's cache, one for each version of Python."""
    return platformdirs.user_cache_path("itssl") / f"{name}-{sys.version_info[0]}.{sys.version_info[1]}"


def environment(
    folder: Path,
    groups: Sequence[dict[str, str]],
    constraints: Sequence[str] = (),
    *,
    reaches_out: bool = True,
    once_a_day: bool = False,
) -> tuple[Path, dict[str, str]]:
    """Its interpreter, and the packages that could not be installed with pip's reason.

    A group is name → version (or "", any version) and is installed by one call of pip, bound by ``constraints``. What
    is installed already is not installed again, what failed is tried again, ``once_a_day`` or each time. Only
    pip reaches out here, and only where it may.
    """
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    record = folder / "installed.json"
    pins = {name: version for group in groups for name, version in group.items()}
    today = datetime.now(UTC).date().isoformat()
    kept = json.loads(record.read_text()) if record.exists() else {}
    if kept.get("pins") == pins and (not kept["absent"] or kept.get("on") == today):
        return python, kept["absent"]
    if not reaches_out:
        return python, dict.fromkeys(pins, "not installed, and nothing was to be")
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    absent = {}
    for group in groups:
        reason = install(python, [f"{name}=={version}" if version else name for name, version in group.items()],
                         constraints)  # fmt: skip
        if reason:
            absent |= dict.fromkeys(group, reason)
    if not absent or once_a_day:
        record.write_text(json.dumps({"pins": pins, "absent": absent, "on": today}))
    return python, absent


def install(python: Path, packages: list[str], constraints: Sequence[str]) -> str:
    """pip's last word where it fails, else nothing."""
    bounds = python.parent / "constraints.txt"
    bounds.write_text("\n".join(constraints) + "\n")
    options = ["--quiet", "--disable-pip-version-check", "--constraint", str(bounds)]
    command = [str(python), "-m", "pip", "install", *options, *packages]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return ""
    lines = [line.strip() for line in done.stderr.splitlines()]
    said = [line for line in lines if line.startswith("ERROR")] or [line for line in lines if "rror:" in line]
    return (said or ["pip failed"])[-1][:200]
