"""The steps of a few-shot training: batches of classes for the contrastive way, shuffled texts for the verbaliser."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import islice
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from engine import evaluate, metrics
from engine.contrastive import ROUND, class_batches, class_losses, rehearsed_batches, rehearsed_size
from engine.data import TextRows
from engine.encoder import TextClassifier
from engine.grad_cache import cached_backward
from engine.loop import NotFinite
from engine.plan import Window, cut, epoch_windows
from engine.precision import mixed
from engine.predict import forward_all
from engine.probe import fit_probe
from engine.recipes.classify import hide_tokens
from engine.recipes.classify_setup import hiding_token
from engine.recipes.encoder_run import longest_first
from engine.recipes.few_shot_setup import Beginning, spoken
from engine.report import Report
from engine.verbaliser import WordScorer
from words import say


@dataclass(frozen=True)
class Learnt:
    """The texts of one training and those it is measured on."""

    rows: TextRows
    encoded: list[list[int]]
    targets: Tensor  # [N] numbers of labels
    dev_encoded: list[list[int]]
    dev_targets: Tensor  # [M]
    earlier: Sequence[range] = ()  # where texts of earlier tasks stand


@dataclass(frozen=True)
class FewShotWork:
    """What both ways share: the dev figures and what chooses the best epoch."""

    start: Beginning
    model: Any
    learnt: Learnt
    report: Report
    rows_at_once: int
    base: Mapping[str, Tensor]  # what is trained, as it was before the first step

    @torch.no_grad()
    def mix(self) -> None:
        """Put the mean of the trained weights and those of the base into the model (Wortsman et al. 2022)."""
        for name, parameter in self.model.named_parameters():
            if name in self.base:
                parameter.lerp_(self.base[name], self.start.spec.base_share)

    def finish(self) -> None:
        """Make the model of the best weights what is kept."""
        self.mix()

    def steps(self, epoch: int) -> list[Window]:
        """The optimiser steps of an epoch, each as what is read at once."""
        raise NotImplementedError

    def count(self, step: Window) -> int:
        """Texts: the mean is taken over them."""
        return sum(map(len, step))

    def divided(self, step: Window, processes: int) -> list[list[Window]]:
        """The step is never divided: engine.specs.machine refuses several processes."""
        raise NotImplementedError

    def backward(self, step: Window, count: float) -> float:
        """Gradients of the step's mean loss, whatever is read at once; returns that mean. `count` is that of the step."""
        raise NotImplementedError

    @property
    def planned(self) -> int:
        """Optimiser steps of the whole training."""
        return self.start.spec.epochs * len(self.steps(0))

    def heaviest(self) -> Window:
        """The longest texts as what is read at once."""
        return longest_first(self.lengths, rows_at_once=self.rows_at_once, tokens_at_once=self.tokens_at_once)

    @cached_property
    def lengths(self) -> list[int]:
        """Tokens that are read for each text."""
        return [len(ids) for ids in self.learnt.encoded]

    @property
    def tokens_at_once(self) -> int:
        """Most tokens read at once."""
        return self.start.spec.max_batch_tokens

    def tokens(self, step: Window) -> int:
        """Tokens the step reads."""
        return sum(self.lengths[at] for part in step for at in part)

    def tokens_measured(self, encoded: list[list[int]]) -> int:
        """Tokens that are read to label these texts."""
        return sum(map(len, encoded))

    def rows(self, step: Window) -> list[int]:
        """Example ids of the step; names of labels have none."""
        ids = self.learnt.rows.ids
        return [ids[at] for part in step for at in part if at < len(ids)]

    def measure(self) -> dict[str, float]:
        """Loss, accuracy and F1 on dev of what would be kept; the weights stay as they are."""
        if not self.learnt.dev_encoded:
            return {}
        trained = {name: p.detach().clone() for name, p in self.model.named_parameters() if name in self.base}
        try:
            self.finish()
            return self.figures()
        finally:
            with torch.no_grad():
                for name, parameter in self.model.named_parameters():
                    if name in trained:
                        parameter.copy_(trained[name])

    def figures(self) -> dict[str, float]:
        """Loss, accuracy and F1 on dev by the weights as they are."""
        learnt = self.learnt
        self.model.eval()
        logits = forward_all(self.model, learnt.dev_encoded, self.report, phase=say("evaluating dev"))  # [M, K]
        decided = evaluate.choose(logits.numpy(), multi_label=False, threshold=0)
        gold = metrics.one_hot(learnt.dev_targets.numpy().astype(np.int64), logits.shape[1])
        return {"loss": float(F.cross_entropy(logits, learnt.dev_targets)), **metrics.averages(gold, decided)}

    def value(self, measured: Mapping[str, float]) -> float:
        """The spec's own choice; of losses the lower one."""
        chosen = self.start.spec.best_metric
        return -measured["loss"] if chosen == "loss" else measured[chosen]

    def checked(self, losses: Tensor, step: Window) -> float:
        """The mean of the losses, [B]; NotFinite with the rows whose loss is no number."""
        if not torch.isfinite(losses).all():
            bad = set(torch.nonzero(~torch.isfinite(losses)).flatten().tolist())
            order = [at for part in step for at in part]
            named = [[order[at]] for at in sorted(bad)]
            raise NotFinite(self.rows(named))
        return float(losses.mean())


@dataclass(frozen=True)
class ContrastiveWork(FewShotWork):
    """Texts of one class close together, others apart; the names of labels are texts of theirs where the spec says so."""

    model: TextClassifier

    @cached_property
    def names(self) -> list[str]:
        """The names that are learnt as texts."""
        return [spoken(label) for label in self.start.labels] if self.start.spec.label_names else []

    @cached_property
    def encoded(self) -> list[list[int]]:
        """Token ids of texts and names."""
        return [*self.learnt.encoded, *self.start.read(self.names)]

    @cached_property
    def classes(self) -> Tensor:
        """The class of each text and name, [N]."""
        return torch.cat((self.learnt.targets, torch.arange(len(self.names))))

    @cached_property
    def lengths(self) -> list[int]:
        """Tokens of each text and name."""
        return [len(ids) for ids in self.encoded]

    def steps(self, epoch: int) -> list[Window]:
        """Batches of classes, each cut into what is read at once."""
        spec, tasks = self.start.spec, self.learnt.earlier
        first = tasks[0].start if tasks else len(self.learnt.rows)
        new = [*range(first), *range(len(self.learnt.rows), len(self.encoded))]
        if not tasks:
            batches = self.batches(new, epoch, spec.batch_size)
        else:
            drawn = rehearsed_size(spec.batch_size, spec.replay_share)
            rounds = [partial(self._round, task, epoch, drawn) for task in tasks]
            batches = rehearsed_batches(self.batches(new, epoch, spec.batch_size - drawn), rounds)
        return [
            cut(batch, self.lengths, rows_at_once=self.rows_at_once, tokens_at_once=self.tokens_at_once)
            for batch in batches
        ]

    def _round(self, task: range, epoch: int, size: int, number: int) -> list[list[int]]:
        """The batches of an earlier task when it begins for the `number`th time in an epoch."""
        return self.batches(task, epoch + ROUND * number, size)

    def batches(self, places: Sequence[int], epoch: int, size: int) -> list[list[int]]:
        """Texts and names at these places in batches of classes."""
        texts = [*self.learnt.rows.texts, *self.names]
        found = class_batches(
            [texts[at] for at in places],
            self.classes[list(places)].tolist(),
            seed=self.start.spec.seed,
            epoch=epoch,
            batch_size=size,
            texts_per_class=self.start.spec.texts_per_class,
        )
        return [[places[at] for at in batch] for batch in found]

    def backward(self, step: Window, count: float) -> float:
        """Gradients of the step's mean loss, whatever is read at once; returns that mean."""
        spec, device = self.start.spec, next(self.model.parameters()).device
        hidden, order = hiding_token(self.start.tokenizer), [at for part in step for at in part]
        sequences = [hide_tokens(self.encoded[at], hidden, spec.token_dropout) for at in order]
        places = iter(range(len(order)))
        portions = [list(islice(places, len(part))) for part in step]
        classes = self.classes[order].to(device)
        kept: list[Tensor] = []

        def vectors(some: Sequence[Sequence[int]]) -> Tensor:
            with mixed(self.model):
                return F.normalize(self.model.features(some).float(), dim=-1)

        def loss_of(found: Tensor) -> Tensor:
            rows = class_losses(found, classes, scale=1 / spec.temperature)[0]
            kept.append(rows.detach())
            return rows.mean()

        cached_backward(vectors, sequences, portions, loss_of)
        return self.checked(kept[0], step)

    def finish(self) -> None:
        """Mix the weights, then fit the head on the vectors of texts and names; raises Stopped when asked."""
        self.mix()
        self.model.eval()
        spec = self.start.spec
        features = forward_all(self.model, self.encoded, self.report, phase=say("fitting the head"), features=True)
        weight, bias = head_of(
            features, self.classes, len(self.start.labels), spec.head, spec.temperature, spec.head_l2
        )
        self.model.head.load_state_dict({"weight": weight, "bias": bias})


def head_of(
    features: Tensor, classes: Tensor, count: int, kind: str, temperature: float, l2: float
) -> tuple[Tensor, Tensor]:
    """(weight [K, D], bias [K]) of a head on text vectors [N, D] with their classes [N].

    The vectors come out of a layer norm without weights, so all are about sqrt(D) long and one factor makes them unit
    vectors; it is written into the weights. Logistic regression is fitted on unit vectors; the nearest mean is a softmax
    over the cosines with the unit means of the classes, divided by the temperature.
    """
    length = features.shape[1] ** 0.5
    if kind == "logistic":
        weight, bias = fit_probe(features / length, F.one_hot(classes, count).float(), l2=l2)
        return weight / length, bias
    unit = F.normalize(features, dim=-1)
    means = torch.zeros(count, features.shape[1]).index_add(0, classes, unit)
    return F.normalize(means, dim=-1) / (temperature * length), torch.zeros(count)


@dataclass(frozen=True)
class VerbaliserWork(FewShotWork):
    """Texts of like length together, the cross-entropy over the labels."""

    model: WordScorer

    @cached_property
    def lengths(self) -> list[int]:
        """Tokens that are read for each text: all that words of several tokens need."""
        return [self.model.tokens_read(len(ids)) for ids in self.learnt.encoded]

    def tokens_measured(self, encoded: list[list[int]]) -> int:
        """Tokens that are read to label these texts."""
        return sum(self.model.tokens_read(len(ids)) for ids in encoded)

    def steps(self, epoch: int) -> list[Window]:
        """Which texts form which step."""
        spec = self.start.spec
        return epoch_windows(
            self.lengths,
            seed=spec.seed,
            epoch=epoch,
            rows_per_step=spec.batch_size,
            rows_at_once=self.rows_at_once,
            tokens_at_once=self.tokens_at_once,
        )

    def backward(self, step: Window, count: float) -> float:
        """Gradients of the step's mean loss, whatever is read at once; returns that mean."""
        device = next(self.model.parameters()).device
        found = []
        for part in step:
            with mixed(self.model):
                logits = self.model([self.learnt.encoded[at] for at in part]).float()  # [B, K]
            rows = F.cross_entropy(logits, self.learnt.targets[part].to(device), reduction="none")
            (rows.sum() / count).backward()  # type: ignore[no-untyped-call]
            found.append(rows.detach())
        return self.checked(torch.cat(found), step)
