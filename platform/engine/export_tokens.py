"""Exports of versions that say something of every token: taggers its tag, readers whether an answer begins or ends there.

What is exported gives the network's logits. Cutting a text into units and windows, and choosing spans from the logits,
stays with the caller.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engine.base_models import load_network
from engine.export_folders import (
    NETWORK,
    TOKENIZER,
    adapted,
    base_of,
    copy_adapter,
    copy_files,
    copy_weights,
    save_head,
)
from engine.export_onnx import FILE, convert, session_of
from engine.export_parity import TEXTS, Logits, Run, padded
from engine.failures import RunFailed
from engine.reader import Passage, SpanReader
from engine.reader_folder import HEAD as READER_HEAD
from engine.reader_folder import holds_reader, open_reader
from engine.spans import tag_names
from engine.tagger import TokenTagger, Window
from engine.tagger_folder import HEAD as TAGGER_HEAD
from engine.tagger_folder import open_tagger, tags_in
from engine.units import read_units
from words import say


class Tagging(nn.Module):
    """Ids and mask [B, T] -> logits [B, T, K]; with case features also how each token's word is written, `word_forms`."""

    def __init__(self, network: Any, case: nn.Embedding | None) -> None:
        super().__init__()
        self.network = network
        self.case = case

    def forward(self, input_ids: Tensor, attention_mask: Tensor, word_forms: Tensor | None = None) -> Tensor:
        """Padding on the right, mask 0 there."""
        given: dict[str, Tensor] = {"input_ids": input_ids}
        if self.case is not None:
            given = {"inputs_embeds": self.network.get_input_embeddings()(input_ids) + self.case(word_forms)}
        return cast(Tensor, self.network(**given, attention_mask=attention_mask).logits)


class Reading(nn.Module):
    """Ids and mask [B, T], and where the network tells them apart token types -> start and end logits [B, T] each."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Padding on the right, mask 0 there; the type of a passage's tokens is 1."""
        more = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        found = self.network(input_ids=input_ids, attention_mask=attention_mask, **more)
        return found.start_logits, found.end_logits


class TaggerExport:
    """A tagger's folder as exports see it: [T, K] logits of every token of a window."""

    head = TAGGER_HEAD
    outputs: tuple[str, ...] = ("logits",)

    def __init__(self, folder: Path) -> None:
        self.tagger = open_tagger(folder)
        self.model = self.tagger.model.cpu()
        self.longest = int(self.tagger.description["max_length_tokens"])

    def windows(self) -> list[Any]:
        """The windows in which the fixed texts are read, asked for each token and not for units alone."""
        readings = read_units(self.tagger.tokenizer, TEXTS, self.tagger.description["unit"])
        return [replace(window, firsts=list(range(len(window.ids)))) for window in self.tagger.windows(TEXTS, readings)]

    def rows(self, logits: Tensor, windows: Sequence[Window]) -> Logits:
        """What the model says of the windows' tokens, window by window."""
        return [rows.numpy() for rows in torch.split(logits, [len(window.ids) for window in windows])]

    def rows_of(self, found: Sequence[Tensor], windows: Sequence[Window], target: Path) -> Logits:
        """The same of what an exported network says; its columns are the tags of the configuration beside it."""
        names = tags_in(target)
        columns = [names.index(name) for name in tag_names(self.tagger.labels)]
        return [rows[: len(window.ids), columns].numpy() for rows, window in zip(found[0], windows, strict=True)]

    def inputs(self, windows: Sequence[Window]) -> dict[str, NDArray[np.int64]]:
        """What transformers' class or the graph is given, [N, T] each."""
        more = {} if self.model.case is None else {"word_forms": padded([window.shapes for window in windows], 0)[0]}
        return _padded(windows, self.model.config) | more

    def plain(self, network: Any) -> nn.Module:
        """The network, and what it is given besides, as a graph."""
        return Tagging(network, self.model.case)

    def fresh(self, network: Any) -> TokenTagger:
        """Our model on a base network, its head and case features yet to come."""
        return TokenTagger(network, case_features=self.model.case is not None)

    def refuse_unlike(self) -> None:
        """RunFailed where transformers' own class would leave something out."""
        if self.model.case is not None:
            raise RunFailed(
                "export_unavailable",
                say("This version also reads how each word is written, which transformers' own class leaves out."),
                say("Export ONNX, whose graph takes it as an input, or train without case features."),
            )


class ReaderExport:
    """A reader's folder as exports see it: start and end logits [2, T] of a window."""

    head = READER_HEAD
    outputs: tuple[str, ...] = ("start_logits", "end_logits")

    def __init__(self, folder: Path) -> None:
        self.reader = open_reader(folder)
        self.model = self.reader.model.cpu()
        self.longest = int(self.reader.description["max_length_tokens"])

    def windows(self) -> list[Any]:
        """The windows in which each fixed text asks a passage of two others."""
        return self.reader.windows([(text, f"{other} {text}") for text, other in zip(TEXTS, TEXTS[::-1], strict=True)])

    def rows(self, logits: Tensor, windows: Sequence[Passage]) -> Logits:
        """What the model says of the windows' tokens, window by window."""
        return [rows.T.numpy() for rows in torch.split(logits, [len(window.ids) for window in windows])]

    def rows_of(self, found: Sequence[Tensor], windows: Sequence[Passage], _target: Path) -> Logits:
        """The same of what an exported network says."""
        both = torch.stack(tuple(found), dim=1)  # [N, 2, T]
        return [rows[:, : len(window.ids)].numpy() for rows, window in zip(both, windows, strict=True)]

    def inputs(self, windows: Sequence[Passage]) -> dict[str, NDArray[np.int64]]:
        """What transformers' class or the graph is given, [N, T] each."""
        types = padded([window.types for window in windows], 0)[0]
        return _padded(windows, self.model.config) | (
            {} if self.model.type_table is None else {"token_type_ids": types}
        )

    def plain(self, network: Any) -> nn.Module:
        """The network as a graph."""
        return Reading(network)

    def fresh(self, network: Any) -> SpanReader:
        """Our model on a base network, its head yet to come."""
        return SpanReader(network)

    def refuse_unlike(self) -> None:
        """RunFailed where what the tokenizer gives alone is not what the version reads."""
        if self.model.type_table is not None and "token_type_ids" not in self.reader.tokenizer.model_input_names:
            raise RunFailed(
                "export_unavailable",
                say("The tokenizer does not tell question and passage apart, as this version's network does."),
                say("Export ONNX, whose graph takes the token types as an input."),
            )


def _padded(windows: Sequence[Window] | Sequence[Passage], config: Any) -> dict[str, NDArray[np.int64]]:
    ids, mask = padded([window.ids for window in windows], config.pad_token_id or 0)
    return {"input_ids": ids, "attention_mask": mask}


def opened(folder: Path) -> TaggerExport | ReaderExport:
    """The folder of a tagger or of a reader."""
    return ReaderExport(folder) if holds_reader(folder) else TaggerExport(folder)


@torch.no_grad()
def served_tokens(folder: Path) -> tuple[list[Any], Logits]:
    """(windows of the fixed texts, what the version is served with for each of their tokens)."""
    version = opened(folder)
    windows = version.windows()
    return windows, version.rows(version.model(windows).float(), windows)


def write_merged(folder: Path, target: Path) -> tuple[str, Run, dict[str, Any]]:
    """The network with everything merged in, and its tokenizer; run by transformers alone, refused where that differs."""
    version = opened(folder)
    version.refuse_unlike()
    copy_files(folder, target, [*NETWORK, *TOKENIZER])
    copy_weights(folder, target)

    @torch.no_grad()
    def run(windows: Sequence[Any]) -> Logits:
        network = load_network(str(target), 0, keep_head=True, head=version.head).eval()
        given = {name: torch.from_numpy(rows) for name, rows in version.inputs(windows).items()}
        found = version.plain(network)(**given)
        return version.rows_of(found if isinstance(found, tuple) else (found,), windows, target)

    return "transformers", run, {}


def write_adapter(
    folder: Path, target: Path, bases: Mapping[str, str] | None = None
) -> tuple[str, Run, dict[str, Any]]:
    """What was trained alone: `adapter/`, head and case features; run on the base model it was trained on."""
    copy_adapter(folder, target)
    version, base = opened(folder), base_of(folder, bases)
    save_head(version.model, target)

    @torch.no_grad()
    def run(windows: Sequence[Any]) -> Logits:
        network = load_network(base, version.model.config.num_labels, head=version.head)
        return version.rows(adapted(version.fresh(network), target)(windows).float(), windows)

    return "peft", run, {}


def write_onnx(folder: Path, target: Path) -> tuple[str, Run, dict[str, Any]]:
    """model.onnx, ids and mask (and word forms, or token types) to the logits of every token; run by ONNX Runtime."""
    version = opened(folder)
    network = load_network(str(folder), 0, keep_head=True, head=version.head)
    names = version.inputs(version.windows())
    given = {name: torch.zeros(2, 3, dtype=torch.int64) for name in names}  # one tensor given twice would be one input
    given["attention_mask"].fill_(1)
    convert(version.plain(network).eval(), given, target / FILE, longest=version.longest, outputs=version.outputs)
    copy_files(folder, target, ["config.json", *TOKENIZER])

    def run(windows: Sequence[Any]) -> Logits:
        found = session_of(target / FILE).run(list(version.outputs), version.inputs(windows))
        return version.rows_of([torch.from_numpy(one) for one in found], windows, target)

    return "onnxruntime", run, {}


TOKEN_WRITERS = {"merged": write_merged, "adapter": write_adapter, "onnx": write_onnx}
