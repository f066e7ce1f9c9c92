"""Checkpoints: complete or not there."""

import importlib.metadata
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from engine import checkpoint
from engine.failures import RunFailed
from engine.folders import environment, packages_hash


def save(folder: Path, step: int, **options: int) -> Path:
    tensors = {"weights": {"a": torch.arange(step, step + 4.0)}}
    return checkpoint.save_checkpoint(folder, step=step, tensors=tensors, state={"step": step}, **options)


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    path = save(tmp_path, 3)

    found = checkpoint.load_checkpoint(path)

    assert (found.step, found.state) == (3, {"step": 3})
    assert found.tensors("weights")["a"].tolist() == [3, 4, 5, 6]
    assert found.has("weights") and not found.has("best")


@pytest.mark.parametrize("harm", ["truncate", "alter", "remove", "no manifest", "broken manifest"])
def test_a_damaged_checkpoint_is_refused_and_the_one_before_is_chosen(tmp_path: Path, harm: str) -> None:
    save(tmp_path, 1)
    newest = save(tmp_path, 2)
    weights, manifest = newest / "weights.safetensors", newest / "manifest.json"
    if harm == "truncate":
        weights.write_bytes(weights.read_bytes()[:-3])
    elif harm == "alter":
        weights.write_bytes(weights.read_bytes()[:-1] + b"\x07")
    elif harm == "remove":
        weights.unlink()
    elif harm == "no manifest":
        manifest.unlink()
    else:
        manifest.write_text(manifest.read_text()[:-5])

    found = checkpoint.newest_complete(tmp_path)

    assert found is not None and found.step == 1
    with pytest.raises(RunFailed) as failure:
        checkpoint.load_checkpoint(newest)
    assert failure.value.code == "checkpoint_damaged"


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    for step in range(5):
        save(tmp_path, step, keep=2)

    assert [path.name for path in sorted(tmp_path.iterdir())] == ["step-00000003", "step-00000004"]


def test_an_unfinished_folder_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / ".unfinished-x").mkdir()

    assert checkpoint.newest_complete(tmp_path) is None


def test_every_random_generator_goes_on_where_it_was() -> None:
    random.gauss(0, 1)
    np.random.standard_normal()
    state = checkpoint.random_tensors()
    first = (torch.rand(3).tolist(), np.random.standard_normal(3).tolist(), random.gauss(0, 1), random.random())

    checkpoint.restore_random(state)

    assert first == (torch.rand(3).tolist(), np.random.standard_normal(3).tolist(), random.gauss(0, 1), random.random())


def test_an_optimiser_takes_the_same_next_step_after_restoring() -> None:
    def stepped(restore: bool) -> torch.Tensor:
        weight = torch.nn.Parameter(torch.ones(3))
        names = {weight: "weight"}
        optimiser = torch.optim.AdamW([weight], lr=0.1, fused=True)
        for at in range(3):
            if restore and at == 2:
                tensors = checkpoint.optimiser_tensors(optimiser, names)
                optimiser = torch.optim.AdamW([weight], lr=0.1, fused=True)
                checkpoint.restore_optimiser(optimiser, names, tensors)
            weight.grad = torch.tensor([1.0, -2.0, 0.5]) * (at + 1)
            optimiser.step()
        return weight.detach()

    assert torch.equal(stepped(restore=True), stepped(restore=False))


def test_the_environment_of_a_run_is_hashed_package_by_package(monkeypatch: pytest.MonkeyPatch) -> None:
    packages_hash.cache_clear()
    before = environment()
    installed = [*importlib.metadata.distributions()]

    class Newer:
        name, version = installed[0].name, f"{installed[0].version}.post1"

    monkeypatch.setattr("importlib.metadata.distributions", lambda: [Newer, *installed[1:]])
    packages_hash.cache_clear()
    after = environment()
    packages_hash.cache_clear()

    assert before["packages_hash"] != after["packages_hash"]
    assert {**before, "packages_hash": ""} == {**after, "packages_hash": ""}
    assert len(before["source_hash"]) == 64 and before["torch"] == torch.__version__
