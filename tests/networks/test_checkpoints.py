"""Checkpoint files: whole or absent, refused by name when damaged, foreign or another run's."""

import os
import pickle
from collections import OrderedDict
from contextlib import suppress

import pytest
import torch
from torch import nn

from itssl.networks import checkpoints
from itssl.networks.checkpoints import CheckpointError, digest, load_checkpoint, save_checkpoint

IDENTITY = {"seed": "0", "epochs": "3"}
STATE = {"network": {"weight": torch.arange(1000.0)}, "steps": [{"loss": 1.5}], "evaluations": [(0, {"x": 2.0})]}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "new" / "folders" / "run.pt"
    save_checkpoint(path, IDENTITY, STATE)
    return path


def test_round_trip(file):
    found = load_checkpoint(file, IDENTITY)
    assert found is not None
    assert torch.equal(found["network"]["weight"], STATE["network"]["weight"])
    assert found["steps"] == STATE["steps"]
    assert found["evaluations"] == STATE["evaluations"]
    assert os.listdir(file.parent) == ["run.pt"]
    save_checkpoint(file, IDENTITY, {"steps": 4})
    assert load_checkpoint(file, IDENTITY) == {"steps": 4}
    assert load_checkpoint(file.with_name("other.pt"), IDENTITY) is None


def test_a_truncated_file_is_refused_at_every_length(file):
    whole = file.read_bytes()
    lengths = [*range(0, 64, 7), *range(64, len(whole), len(whole) // 20), len(whole) - 1]
    for length in lengths:
        file.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=r"run.pt: expected a checkpoint .* damaged or foreign .* delete it"):
            load_checkpoint(file, IDENTITY)
    assert file.read_bytes() == whole[: lengths[-1]]  # left as it was


def test_flipped_bytes_are_noticed_or_harmless(file):
    """Every byte of the weights is covered by a checksum; bytes that no reader looks at may pass."""
    whole = file.read_bytes()
    start = whole.index(torch.arange(3.0).numpy().tobytes())
    for place in [*range(0, len(whole), 131), *range(start, start + 4000, 397)]:
        spoiled = bytearray(whole)
        spoiled[place] ^= 0xFF
        file.write_bytes(spoiled)
        with suppress(CheckpointError):
            found = load_checkpoint(file, IDENTITY)
            assert found is not None
            assert torch.equal(found["network"]["weight"], STATE["network"]["weight"])
            assert found["steps"] == STATE["steps"]
            assert place not in range(start, start + 4000)


class Malicious:
    def __reduce__(self):
        return os.mkdir, (os.environ["ITSSL_TEST_FOLDER"],)


def test_foreign_files_are_refused_and_nothing_in_them_is_run(tmp_path, monkeypatch):
    path, victim = tmp_path / "run.pt", tmp_path / "made by unpickling"
    monkeypatch.setenv("ITSSL_TEST_FOLDER", str(victim))

    def write(save, content):
        path.unlink(missing_ok=True)
        save(content, path)

    def pickled(content, to):
        to.write_bytes(pickle.dumps(content))

    def plain(content, to):
        to.write_bytes(content)

    files = [
        (plain, b"epoch,loss\n1,2\n"), (plain, "häßlich\n".encode() * 100),
        (plain, bytes(range(256)) * 9), (plain, b""),
        (pickled, {"format": "?"}), (pickled, [1, 2]), (pickled, Malicious()),
        (torch.save, torch.zeros(3)), (torch.save, OrderedDict(nn.Linear(2, 1).state_dict())),
        (torch.save, nn.Linear(2, 1)), (torch.save, {"format": "another", "state": {}}), (torch.save, Malicious()),
        (torch.save, {"format": checkpoints._FORMAT, "identity": Malicious()}),
        (torch.save, {"format": checkpoints._FORMAT}),
    ]  # fmt: skip
    for save, content in files:
        write(save, content)
        with pytest.raises(CheckpointError, match=r"run.pt: expected"):
            load_checkpoint(path, IDENTITY)
        assert path.exists()
        assert not victim.exists()


def test_another_runs_checkpoint_is_refused_with_what_differs(file):
    for other, message in (
        ({"seed": "1", "epochs": "3"}, "got another's: seed is 0 there and 1 here; use another path"),
        ({"seed": "1", "epochs": "4"}, "seed is 0 there and 1 here; epochs is 3 there and 4 here"),
        ({"seed": "0"}, "epochs is 3 there and None here"),
        (IDENTITY | {"data": "x"}, "data is None there and x here"),
    ):
        with pytest.raises(CheckpointError, match=f"run.pt: expected the checkpoint of this run, .*{message}"):
            load_checkpoint(file, other)


def test_a_failed_or_killed_write_leaves_the_previous_checkpoint(file, monkeypatch):
    before = file.read_bytes()
    leftover = file.with_name("run.pt.12345.unfinished")
    leftover.write_bytes(before[:100])
    neighbor = file.with_name("run.pt2.12345.unfinished")
    neighbor.write_bytes(b"")

    def full(content, path):
        path.write_bytes(before[:50])
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        with pytest.raises(OSError, match="no space"):
            save_checkpoint(file, IDENTITY, {})
    assert file.read_bytes() == before
    assert sorted(os.listdir(file.parent)) == ["run.pt", "run.pt2.12345.unfinished"]
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda source, target: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            save_checkpoint(file, IDENTITY, {})
    assert file.read_bytes() == before
    assert len(os.listdir(file.parent)) == 2


def test_names_with_wildcards_are_names(tmp_path):
    other = tmp_path / "run1.pt.7.unfinished"
    other.write_bytes(b"")
    save_checkpoint(tmp_path / "run[1].pt", IDENTITY, STATE)
    assert other.exists()


def test_digest_sees_values_shapes_and_dtypes():
    base = [torch.zeros(2, 3), torch.tensor(1)]
    different = [
        [torch.zeros(3, 2), torch.tensor(1)],
        [torch.zeros(2, 3, dtype=torch.float64), torch.tensor(1)],
        [torch.zeros(2, 3), torch.tensor(2)],
        [torch.zeros(2, 3) + 1e-30, torch.tensor(1)],
        [torch.tensor(1), torch.zeros(2, 3)],
        [torch.zeros(2, 3)],
    ]
    assert len({digest(tensors) for tensors in [base, *different]}) == 7
    strided = torch.zeros(6, 2)[::2].T.requires_grad_()
    assert digest([strided]) == digest([torch.zeros(2, 3)])
    for special in (torch.tensor([True]), torch.zeros(0), torch.zeros(2, dtype=torch.bfloat16), torch.tensor(1j)):
        assert digest([special]) == digest([special.clone()])
