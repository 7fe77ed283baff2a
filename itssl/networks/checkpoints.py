"""The state of a training run in one file: written whole or not at all, and refused unless it is that run's."""

import glob
import hashlib
import io
import os
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_FORMAT = "itssl training checkpoint 1"


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message names the file, what is wrong and the cure."""


def save_checkpoint(path: Path, identity: Mapping[str, str], state: Mapping[str, Any]) -> None:
    """Write the state (tensors, numbers, strings, lists and dicts) of the run named by ``identity`` to ``path``.

    The file appears by renaming a complete one, so that being killed leaves the previous checkpoint; what a killed
    process left unfinished is removed. One process at a time writes to a path.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_checkpoint(Path(folder) / "run.pt", {"seed": "0"}, {"step": 3})
    ...     load_checkpoint(Path(folder) / "run.pt", {"seed": "0"})
    {'step': 3}
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.unfinished")
    try:
        torch.save({"format": _FORMAT, "identity": dict(identity), "state": dict(state)}, unfinished)
        os.replace(unfinished, path)
    finally:
        for leftover in path.parent.glob(f"{glob.escape(path.name)}.*.unfinished"):
            leftover.unlink(missing_ok=True)


def load_checkpoint(path: Path, identity: Mapping[str, str]) -> dict[str, Any] | None:
    """The state in ``path``, or None where there is no file. Nothing is unpickled but tensors and plain values.

    Raises CheckpointError for a damaged or foreign file, and for one of a run with another identity; OSError as
    reading the file does.
    """
    if not path.exists():
        return None
    file = io.BytesIO(path.read_bytes())
    try:
        if damaged := zipfile.ZipFile(file).testzip():  # torch.load ignores the checksums
            raise zipfile.BadZipFile(f"wrong checksum of {damaged}")
        file.seek(0)
        content = torch.load(file, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # whatever zipfile and unpickling make of arbitrary bytes
        reason = str(error).strip().partition("\n")[0][:120]
        raise CheckpointError(
            f"{path}: expected a checkpoint of a training run, got a damaged or foreign file ({reason}); delete it to "
            "start anew, or restore a copy"
        ) from error
    if not isinstance(content, dict) or {*content} != {"format", "identity", "state"} or content["format"] != _FORMAT:
        raise CheckpointError(f"{path}: expected the format {_FORMAT!r}, got another one; use another path")
    found = content["identity"]
    differing = [name for name in {**found, **identity} if found.get(name) != identity.get(name)]
    if differing:
        what = "; ".join(f"{name} is {found.get(name)} there and {identity.get(name)} here" for name in differing)
        raise CheckpointError(
            f"{path}: expected the checkpoint of this run, got another's: {what}; use another path, or delete the file"
        )
    return content["state"]


def digest(tensors: Iterable[Tensor]) -> str:
    """A fingerprint of tensors: of their dtypes, shapes and bytes.

    >>> digest([torch.zeros(2)]) == digest([torch.zeros(2)]), digest([torch.zeros(2)]) == digest([torch.ones(2)])
    (True, False)
    """
    found = hashlib.blake2b(digest_size=12)
    for tensor in tensors:
        plain = tensor.detach().cpu().contiguous()
        found.update(f"{plain.dtype}{tuple(plain.shape)}".encode())
        found.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
