"""Train a GPT from scratch on plain texts, from Parquet rows to a frozen model folder."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from engine import checkpoint
from engine.continuing import Earlier, anchor_of, hashes
from engine.corpus import Corpus, tokenised
from engine.evaluate_corpus import CorpusLosses, corpus_figures, mean_figures, measure_corpus
from engine.failures import refuse
from engine.gpt import Gpt, token_losses
from engine.gpt.loss import ROWS_AT_ONCE
from engine.gpt.sample import continued
from engine.loop import NotFinite, Pace, Training
from engine.plan import divided_sequences
from engine.precision import mixed
from engine.preflight_corpus import corpus_problems, survey, token_problems, vocabulary_problems
from engine.rank import here
from engine.recipes.pretrain_rehearsal import Rehearsal, Rehearsed, earlier_corpora, estimate
from engine.recipes.pretrain_setup import learn_vocabulary, network, rows_of, stored_vocabulary
from engine.report import Report
from engine.seen import seen_documents
from engine.specs import spec_hash, to_mapping
from engine.specs.machine import rows_at_once
from engine.specs.pretrain import PretrainSpec
from engine.text_folder import save_text_model
from engine.vocabulary import Vocabulary
from engine.windows import Pieces, Plan, block_pieces, document_pieces, laid_out, plan
from words import say

PROMPT_TOKENS = 32
MOST_LISTED = 10_000
LOOKED_AT_STEPS = 64


def train(
    spec: PretrainSpec,
    data: Path,
    out: Path,
    report: Report,
    *,
    resume_from: Path | None = None,
    micro_batch: int | None = None,
    data_hash: str = "",
    cache: Path | None = None,
    earlier: Sequence[Earlier] = (),
) -> dict[str, Any]:
    """Train, evaluate and write `out`/model; returns the result event as plain JSON.

    `earlier` corpora are those a base version must not forget.
    `micro_batch` (sequences) lowers memory without changing which texts form a step; `cache` is a folder that outlives
    this attempt and holds the tokens. Raises RunFailed for what the user can mend and Stopped when the report asks to
    stop, after a checkpoint once training has begun.
    """
    started = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)

    # 1. Rows, vocabulary, and every text as tokens on disk: learnt or read once, whatever becomes of this attempt.
    report.progress(0, 1, "datasets", say("reading"))
    rows = rows_of(spec, data)
    problems = corpus_problems(spec, survey(rows))
    refuse("bad_data", problems)
    saved = checkpoint.find_checkpoint(resume_from) if resume_from is not None else None
    if saved is None:
        report.progress(0, 1, "vocabularies", say("learning the vocabulary"))
        vocabulary = learn_vocabulary(spec, rows)
    else:
        vocabulary = stored_vocabulary(spec, bytes(saved.tensors("tokenizer")["json"].tolist()).decode())
    corpora = tokenised(rows, vocabulary, cache or out / "cache", data_hash=data_hash, report=report)
    tasks = earlier_corpora(spec, rows, earlier, vocabulary, cache or out / "cache", report)
    found = vocabulary_problems(vocabulary, rows) + token_problems(spec, corpora, vocabulary)
    refuse("bad_data", found)
    for problem in [*problems, *found]:
        report.log("warning", problem.message)
    report.seen(seen_documents(vocabulary, corpora["train"].documents()))

    # 2. The network and its optimiser: matrices decay, vectors do not.
    torch.manual_seed(spec.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = network(spec, vocabulary.size).to(device)
    anchor = anchor_of(spec, model, {})
    decay = 0.0 if spec.keep == "l2_sp" else spec.weight_decay  # the pull takes its place
    optimiser = torch.optim.AdamW(
        [
            {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": decay},
            {"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=spec.learning_rate,
        betas=(0.9, spec.beta2),
        fused=True,
    )
    parameters = sum(parameter.numel() for parameter in model.parameters())
    report.log(
        "info",
        say(
            "{parameters:,} parameters, {vocabulary} tokens in the vocabulary, {tokens:,} tokens to learn from",
            parameters=parameters,
            vocabulary=vocabulary.size,
            tokens=corpora["train"].token_count,
        ),
    )

    # 3. The epochs.
    at_once = rows_at_once(spec, micro_batch, here().count)
    work = PretrainWork(spec, model, corpora, report, at_once, tasks if spec.keep == "replay" else ())
    training = Training(
        model,
        optimiser,
        pace=work.pace(),
        report=report,
        out=out,
        contract={
            "recipe": "pretrain",
            "spec_hash": spec_hash(spec),
            "data_hash": data_hash,
            "earlier_data": hashes(earlier),
            "vocabulary_hash": vocabulary.hash,
            "threads": torch.get_num_threads(),
            "micro_batch": micro_batch,
        },
        companion=anchor,
        extra={"tokenizer": {"json": torch.tensor(list(vocabulary.tokenizer.to_str().encode()), dtype=torch.uint8)}},
    )
    if saved is not None:
        training.resume(saved)
    elif spec.keep == "ewc" and anchor is not None:
        estimate(anchor, spec, tasks, model, report)
    cursor = training.fit(work)

    # 4. The best weights, measured once on all of dev and test, written as the model, and texts it goes on with.
    evaluations = training.saving_when_stopped(
        lambda: {name: work.evaluation(name, out) for name in ("dev", "test") if len(corpora[name])}
    )
    samples = sampled(model, vocabulary, corpora["dev"], spec)
    description = save_text_model(
        out / "model",
        model,
        vocabulary,
        {
            "recipe": "pretrain",
            **({"base_model": str(spec.base_model)} if spec.goes_on else {}),
            "context_tokens": spec.context_tokens,
            "vocabulary": {"kind": spec.vocabulary, "size": vocabulary.size, "hash": vocabulary.hash},
            "spec": to_mapping(spec),
            "spec_hash": spec_hash(spec),
            "data_hash": data_hash,
            "metrics": {name: found["headline"] for name, found in evaluations.items()},
        },
    )
    (out / "samples.json").write_text(json.dumps(samples, ensure_ascii=False), encoding="utf-8")
    return {
        "model": str(out / "model"),
        "files": description["files"],
        "parameters": parameters,
        "vocabulary_size": vocabulary.size,
        "template_hash": description["template"]["hash"],
        "evaluations": evaluations,
        "samples": str(out / "samples.json"),
        **cursor.told(time.monotonic() - started),
        "spec_hash": spec_hash(spec),
        "environment": description["environment"],
    }


@dataclass(frozen=True, eq=False)
class PretrainWork:
    """The steps of a pretraining run: pieces of the stream packed into sequences, their loss per token."""

    spec: PretrainSpec
    model: Gpt
    corpora: Mapping[str, Corpus]
    report: Report
    at_once: int  # sequences in one micro-batch
    earlier: Sequence[Corpus] = ()  # of which sequences stand in each step

    def pace(self) -> Pace:
        """Epochs, or as many steps as read about max_tokens."""
        steps = self.steps(0)
        if not self.spec.max_tokens:
            return Pace.of(self.spec, schedule="cosine")
        new = steps.new if isinstance(steps, Rehearsed) else steps
        read = int(new.pieces[:, 1].sum()) * self.sequences / new.sequences_per_step  # in an epoch
        wanted = max(1, round(self.spec.max_tokens * len(steps) / read))
        return Pace.of(self.spec, schedule="cosine", epochs=wanted // len(steps) + 2, max_steps=wanted)

    @property
    def sequences(self) -> int:
        """Of a step."""
        return self.spec.batch_size * self.spec.gradient_accumulation

    @cached_property
    def rehearsal(self) -> Rehearsal:
        """The corpus to learn from, with the earlier ones behind it."""
        return Rehearsal([self.corpora["train"], *self.earlier])

    @cached_property
    def stream(self) -> Corpus:
        """What pieces are read from."""
        return self.rehearsal.joined if self.earlier else self.corpora["train"]

    @lru_cache(maxsize=2)  # noqa: B019 - a work lives as long as its run
    def steps(self, epoch: int) -> Plan | Rehearsed:
        """Which pieces form which step."""
        if not self.earlier:
            return self.plan_of(self.corpora["train"], epoch, self.sequences)
        return self.rehearsal.steps(self.plan_of, epoch, self.sequences, self.spec.replay_share)

    def plan_of(self, corpus: Corpus, epoch: int, count: int) -> Plan:
        """The steps over one corpus, `count` sequences each."""
        context, seed = self.spec.context_tokens, self.spec.seed
        if self.spec.layout == "documents":
            pieces = document_pieces(corpus, context)
        else:
            pieces = block_pieces(corpus.token_count, context, seed=seed, epoch=epoch)
        return plan(pieces, context, seed=seed, epoch=epoch, sequences_per_step=count)

    def heaviest(self) -> list[Pieces]:
        """The fullest micro-batch among the first steps."""
        steps = self.steps(0)
        sequences = [sequence for at in range(min(len(steps), LOOKED_AT_STEPS)) for sequence in steps[at]]
        return sorted(sequences, key=lambda sequence: -self.tokens([sequence]))[: self.at_once]

    def tokens(self, step: Sequence[Pieces]) -> int:
        """Tokens the step reads."""
        return sum(int(sequence[:, 1].sum()) for sequence in step)

    def rows(self, step: Sequence[Pieces]) -> list[int]:
        """Example ids of the documents the step reads from."""
        corpus = self.stream
        return sorted(set(corpus.ids[corpus.documents_at(np.concatenate(step)[:, 0])].tolist()))

    def count(self, step: Sequence[Pieces]) -> int:
        """Tokens: the mean is taken over them."""
        return self.tokens(step)

    def divided(self, step: Sequence[Pieces], processes: int) -> list[list[Sequence[Pieces]]]:
        """The micro-batches of each process."""
        tokens = [self.tokens([sequence]) for sequence in step]
        return divided_sequences(step, tokens, processes, at_once=self.at_once)

    def backward(self, step: Sequence[Pieces], count: float) -> float:
        """Gradients of the tokens' summed loss over `count`, whatever the micro-batches; returns that."""
        whole = 0.0
        for start in range(0, len(step), self.at_once):
            pieces = np.concatenate(step[start : start + self.at_once])
            total, losses, owners = piece_losses(self.model, self.stream, pieces, scale=1 / count)
            total.backward()  # type: ignore[no-untyped-call]
            summed = float(losses.sum())
            if not np.isfinite(summed):
                bad = np.unique(owners[~torch.isfinite(losses.cpu()).numpy()])
                raise NotFinite(self.rows([pieces[bad]]))
            whole += summed
        return whole / count

    def measure(self) -> dict[str, float]:
        """Loss, perplexity, bits per byte and token accuracy on dev."""
        if not len(self.corpora["dev"]):
            return {}
        return mean_figures(self._measured("dev", say("evaluating dev"), most_tokens=self.spec.dev_tokens))

    def value(self, measured: Mapping[str, float]) -> float:
        """The lower loss is better."""
        return -measured["loss"]

    def evaluation(self, name: str, out: Path) -> dict[str, Any]:
        """All of a part, with intervals, and one loss per document in a file."""
        measured = self._measured(name, say("evaluating {name}", name=name))
        figures = corpus_figures(measured, seed=self.spec.seed)
        sums, _, counts = measured.of_documents()
        documents = [
            {"example_id": number, "loss": total / count, "tokens": int(count)}
            for number, total, count in zip(measured.corpus.ids.tolist(), sums.tolist(), counts.tolist(), strict=True)
        ]
        path = out / f"evaluation-{name}.json"
        path.write_text(json.dumps({**figures, "examples": documents[:MOST_LISTED]}, allow_nan=False), encoding="utf-8")
        return {"headline": figures["headline"], "rows": figures["rows"], "metrics": str(path)}

    def _measured(self, name: str, phase: str, *, most_tokens: int = 0) -> CorpusLosses:
        self.model.eval()

        return measure_corpus(
            self.corpora[name],
            self.spec.context_tokens,
            lambda pieces: foretold(self.model, self.corpora[name], pieces),
            tokens_at_once=self.at_once * self.spec.context_tokens,
            report=self.report,
            phase=phase,
            most_tokens=most_tokens,
        )


def piece_losses(
    model: Gpt, corpus: Corpus, pieces: Pieces, *, scale: float = 1.0
) -> tuple[Tensor, Tensor, NDArray[np.int64]]:
    """(scaled sum, loss of each token [N] without gradient, its piece's number [N])."""
    device = model.tokens.weight.device
    flat = laid_out(corpus, pieces)
    with mixed(model):
        hidden = model.packed(flat.ids.to(device), flat.runs)  # [N, D]
    total, losses = token_losses(hidden, model.head.weight, flat.targets.to(device), scale=scale)
    return total, losses, flat.owners


@torch.no_grad()
def foretold(model: Gpt, corpus: Corpus, pieces: Pieces) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(summed loss, tokens whose likeliest prediction is right) of each piece, [P] each."""
    device = model.tokens.weight.device
    flat = laid_out(corpus, pieces)
    targets = flat.targets.to(device)
    sums, hits = np.zeros(len(pieces)), np.zeros(len(pieces))
    with mixed(model):
        hidden = model.packed(flat.ids.to(device), flat.runs)  # [N, D]
    for start in range(0, len(hidden), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        logits = F.linear(hidden[rows], model.head.weight.to(hidden.dtype)).float()  # [n, V]
        losses = F.cross_entropy(logits, targets[rows], reduction="none")
        np.add.at(sums, flat.owners[rows], losses.double().cpu().numpy())
        np.add.at(hits, flat.owners[rows], (logits.argmax(-1) == targets[rows]).double().cpu().numpy())
    return sums, hits


def sampled(model: Gpt, vocabulary: Vocabulary, dev: Corpus, spec: PretrainSpec) -> list[dict[str, Any]]:
    """How the model goes on from the given beginning and from those of dev pieces, beside the real texts."""
    generator = torch.Generator().manual_seed(spec.seed)
    pieces = document_pieces(dev, spec.context_tokens)
    chosen = pieces[np.unique(np.linspace(0, len(pieces) - 1, min(spec.sample_count, len(pieces)), dtype=np.int64))]
    beginnings: list[tuple[int | None, list[int], list[int]]] = []
    if spec.sample_prompt:
        beginnings.append((None, [vocabulary.end, *vocabulary.encode([spec.sample_prompt])[0]], []))
    for start, length in chosen.tolist():
        ids = dev.tokens[start : start + length].astype(np.int64).tolist()
        cut = min(PROMPT_TOKENS, max(1, length // 2))
        document = int(dev.ids[dev.documents_at(np.array([start]))][0])
        beginnings.append((document, ids[:cut], ids[cut : cut + spec.sample_tokens]))
    found = []
    for number, prompt, expected in beginnings:
        prompt = prompt[-spec.context_tokens + 1 :]
        written, is_ended = continued(
            model,
            prompt,
            room=min(spec.sample_tokens, spec.context_tokens - len(prompt)),
            end=vocabulary.end,
            temperature=spec.sample_temperature,
            generator=generator,
        )
        found.append(
            {
                "example_id": number,
                "prompt": [{"role": "user", "content": vocabulary.tokenizer.decode(prompt)}],
                "expected": vocabulary.tokenizer.decode(expected),
                "answer": vocabulary.tokenizer.decode(written),
                "stopped": is_ended,
            }
        )
    return found
