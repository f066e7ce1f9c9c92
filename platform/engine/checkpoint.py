"""Checkpoints that are either complete or not there: safetensors, checksums last, renamed into place."""

import hashlib
import json
import os
import random
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from engine.failures import RunFailed
from engine.shards import share
from words import say

MANIFEST = "manifest.json"
FORMAT = 1
KEPT = 2


@dataclass(frozen=True)
class Checkpoint:
    """A verified checkpoint: its step, its plain state, and its tensors by file."""

    path: Path
    step: int
    state: dict[str, Any]
    files: tuple[str, ...]

    def tensors(self, name: str) -> dict[str, Tensor]:
        """The tensors of `<name>.safetensors`, on the CPU; FileNotFoundError if it was not saved."""
        return load_file(self.path / f"{name}.safetensors")

    def has(self, name: str) -> bool:
        """Whether `<name>.safetensors` belongs to this checkpoint."""
        return f"{name}.safetensors" in self.files


def save_checkpoint(
    directory: Path,
    *,
    step: int,
    tensors: Mapping[str, Mapping[str, Tensor]],
    state: Mapping[str, Any],
    keep: int = KEPT,
) -> Path:
    """Write `directory`/step-XXXXXXXX whole or not at all, then drop all but the newest `keep`.

    `tensors` maps a file stem to its tensors. The manifest with the sha256 of every file is written last and
    the folder renamed after everything reached the disk, so a crash leaves only a hidden folder nobody reads.
    """
    directory.mkdir(parents=True, exist_ok=True)
    final = directory / f"step-{step:08d}"
    beside = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=directory))
    try:
        for stem, named in tensors.items():
            whole = {name: tensor.detach().cpu().contiguous() for name, tensor in named.items()}
            save_file(whole, beside / f"{stem}.safetensors")
        files = {path.name: describe_file(path) for path in sorted(beside.iterdir())}
        manifest = {"format": FORMAT, "step": step, "files": files, "state": dict(state)}
        (beside / MANIFEST).write_text(json.dumps(manifest, allow_nan=False), encoding="utf-8")
        sync_folder(beside)
        if final.exists():
            shutil.rmtree(final)
        beside.rename(final)
    except OSError as error:
        raise RunFailed(
            "disk",
            say("The checkpoint could not be written: {value}.", value=error.strerror or error),
            say("Free disk space, then resume."),
        ) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    sync_path(directory)
    for old in sorted(directory.glob("step-*"))[:-keep]:
        if old != final:
            shutil.rmtree(old, ignore_errors=True)
    return final


def load_checkpoint(path: Path) -> Checkpoint:
    """Read and verify a checkpoint; RunFailed("checkpoint_damaged") if anything is missing or altered."""
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        intact = manifest["format"] == FORMAT and all(
            describe_file(path / name) == wanted for name, wanted in manifest["files"].items()
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(path) from error
    if not intact:
        raise _damaged(path)
    return Checkpoint(path, manifest["step"], manifest["state"], tuple(manifest["files"]))


def newest_complete(directory: Path) -> Checkpoint | None:
    """The newest checkpoint in `directory` that verifies, skipping damaged ones; None if there is none."""
    for path in sorted(directory.glob("step-*"), reverse=True):
        try:
            return load_checkpoint(path)
        except RunFailed:
            continue
    return None


def find_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint at `path`, or the newest complete one in it when `path` holds several."""
    if (path / MANIFEST).exists() or path.name.startswith("step-"):
        return load_checkpoint(path)
    found = newest_complete(path)
    if found is None:
        raise _damaged(path)
    return found


def optimiser_tensors(optimiser: torch.optim.Optimizer, names: Mapping[nn.Parameter, str]) -> dict[str, Tensor]:
    """The optimiser's state as flat tensors "<parameter>|<key>"."""
    return {
        f"{names[cast(nn.Parameter, parameter)]}|{key}": value
        if isinstance(value, Tensor)
        else torch.tensor(float(value))
        for parameter, state in optimiser.state.items()
        for key, value in state.items()
    }


def restore_optimiser(
    optimiser: torch.optim.Optimizer, names: Mapping[nn.Parameter, str], tensors: Mapping[str, Tensor]
) -> None:
    """Put what optimiser_tensors() gave back, on each parameter's device."""
    by_name = {name: parameter for parameter, name in names.items()}
    for key, tensor in tensors.items():
        name, _, field = key.rpartition("|")
        parameter = by_name[name]
        tensor = tensor.to(parameter.device)
        optimiser.state[parameter][field] = share(tensor, parameter) if tensor.shape == parameter.shape else tensor


def random_tensors() -> dict[str, Tensor]:
    """The state of every random generator a recipe may touch: torch (CPU and CUDA), numpy, python."""
    _, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    version, internal, gauss_next = random.getstate()
    found = {
        "torch": torch.get_rng_state(),
        "numpy_keys": torch.from_numpy(np.asarray(keys, dtype=np.int64)),
        "numpy_rest": torch.tensor([float(position), float(has_gauss), float(gauss)], dtype=torch.float64),
        "python": torch.tensor([version, *internal], dtype=torch.int64),
        "python_gauss": torch.tensor([] if gauss_next is None else [gauss_next], dtype=torch.float64),
    }
    if torch.cuda.is_available():
        found["cuda"] = torch.cuda.get_rng_state()
    return found


def restore_random(tensors: Mapping[str, Tensor]) -> None:
    """Put what random_tensors() gave back."""
    torch.set_rng_state(tensors["torch"])
    position, has_gauss, gauss = tensors["numpy_rest"].tolist()
    np.random.set_state(
        ("MT19937", tensors["numpy_keys"].numpy().astype(np.uint32), int(position), int(has_gauss), gauss)
    )
    version, *internal = tensors["python"].tolist()
    gauss_next = tensors["python_gauss"].tolist()
    random.setstate((version, tuple(internal), gauss_next[0] if gauss_next else None))
    if "cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["cuda"])


def describe_file(path: Path) -> dict[str, Any]:
    """Size and sha256 of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": digest}


def sync_folder(folder: Path) -> None:
    """Bring every file and folder below, and the folder itself, to the disk."""
    for path in folder.rglob("*"):
        sync_path(path)
    sync_path(folder)


def sync_path(path: Path) -> None:
    """fsync one file or folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _damaged(path: Path) -> RunFailed:
    return RunFailed(
        "checkpoint_damaged",
        say("The checkpoint {name} is incomplete or altered.", name=path.name),
        say("Resume from an earlier checkpoint or start again."),
    )
