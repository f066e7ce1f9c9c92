"""Learn a classifier from a few texts a class, from Parquet rows to a frozen model folder, by one of two ways.

Contrastive (Tunstall et al. 2022, with the loss of Khosla et al. 2020): the encoder is tuned so that texts of one class
lie together, then a head is fitted on its vectors. Verbaliser (Schick, Schütze 2021; Gao et al. 2021): the base model's own
head says a word that stands for the label (engine.verbaliser), tuned by cross-entropy over the labels.

With a learning curve the run trains once for each count, always from the base model and with the same seed, so that each
point is what a run of that count alone would give; the texts of a count hold those of every smaller one.
"""

import time
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine import checkpoint, evaluate
from engine.continuing import Earlier, anchor_of, hashes
from engine.data import TextRows, read_texts
from engine.encoder import TextClassifier
from engine.failures import refuse
from engine.loop import Pace, Training
from engine.measured import kept_evaluation
from engine.methods import Attached
from engine.model_folder import save_classifier
from engine.predict import forward_all
from engine.recipes.encoder_run import pulled, result_of
from engine.recipes.few_shot_setup import Beginning, Model, arrange, attached, beginning, groups, rehearsed
from engine.recipes.few_shot_work import ContrastiveWork, FewShotWork, Learnt, VerbaliserWork
from engine.report import Report
from engine.resume import Cursor
from engine.seen import seen_pairs, seen_patterns
from engine.specs import spec_hash, to_mapping
from engine.specs.few_shot import FewShotSpec
from engine.verbaliser import WordScorer
from engine.verbaliser_folder import save_verbaliser
from words import say

CURVE_FIGURES = ("accuracy", "macro_f1")


def train(
    spec: FewShotSpec,
    data: Path,
    out: Path,
    report: Report,
    *,
    resume_from: Path | None = None,
    micro_batch: int | None = None,
    data_hash: str = "",
    earlier: Sequence[Earlier] = (),
) -> dict[str, Any]:
    """Train once a count, evaluate the last and write it as `out`/model; returns the result event as plain JSON.

    `earlier` tasks are those a base version must not forget.
    `micro_batch` lowers memory without changing which texts form a step. Raises RunFailed for what the user can mend and
    Stopped after a checkpoint when the report asks to stop.
    """
    started = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)

    # 1. The texts drawn, what reads them, and the words of the labels.
    report.progress(0, 1, "datasets", say("reading"))
    parts, drawn, labels, problems = arrange(spec, read_texts(data))
    refuse("bad_data", problems)
    new = len(parts["train"])
    drawn, labels, tasks = rehearsed(spec, parts, drawn, labels, earlier)
    start, found = beginning(spec, labels)
    refuse("bad_spec", found)
    assert start is not None
    for problem in [*problems, *found]:
        report.log("warning", problem.message)
    encoded = {name: start.read(part.texts) for name, part in parts.items()}
    report.seen(seen_of(start, parts["train"], encoded["train"]))

    # 2. One training a count, from where a checkpoint says.
    saved = checkpoint.find_checkpoint(resume_from) if resume_from is not None else None
    contract: dict[str, Any] = {
        "recipe": "few_shot",
        "spec_hash": spec_hash(spec),
        "data_hash": data_hash,
        "earlier_data": hashes(earlier),
        "labels": labels,
        "micro_batch": micro_batch,
        "threads": torch.get_num_threads(),
    }
    stand = saved.state["contract"] if saved is not None else {}
    first = stand.get("count") if stand.get("count") in spec.counts else spec.counts[0]
    points: list[dict[str, Any]] = list(stand.get("points", []))
    run = Run(spec, start, parts, drawn, encoded, report, out, micro_batch, tasks)
    for count in spec.counts[spec.counts.index(first) :]:
        is_last = count == spec.counts[-1]
        stage = run.stage(count, {**contract, "count": count, "points": points})
        if saved is not None:
            stage.training.resume(saved)
            saved = None
        stage.fit()
        if len(spec.counts) > 1:
            points = [*points, stage.point()]
            tell(report, points[-1])
        if is_last:
            break

    # 3. The last one measured on dev and test and written as the model.
    evaluations = stage.evaluations(points)
    description = {
        "recipe": "few_shot",
        "way": spec.way,
        "labels": labels,
        "multi_label": False,
        "decision_threshold": 0.5,
        "max_length_tokens": start.limit,
        "template": None,
        "base_model": str(spec.base_model),
        "method": spec.method,
        "spec": to_mapping(spec),
        "spec_hash": spec_hash(spec),
        "data_hash": data_hash,
        "curve": points,
        "example_ids": {
            str(count): [parts["train"].ids[at] for at in some if at < new] for count, some in drawn.items()
        },
        "metrics": {name: found["headline"] for name, found in evaluations.items()},
    }
    description = stage.save(out / "model", description)
    result = result_of(stage.training, description, evaluations, out=out, labels=labels, started=started)
    return {**result, "curve": points, "example_ids": description["example_ids"]}


def seen_of(start: Beginning, rows: TextRows, encoded: list[list[int]]) -> dict[str, Any]:
    """What the model sees of the first texts: pairs of a class, or filled patterns with the word's place marked."""
    if start.spec.way == "contrastive":
        return seen_pairs(start.tokenizer, rows, encoded, seed=start.spec.seed)
    words = dict(zip(start.labels, start.word_ids, strict=True))
    said = {} if start.gpt is None else {label: ids[0] for label, ids in words.items()}
    return seen_patterns(start.reading, rows, encoded, said)


def tell(report: Report, point: Mapping[str, Any]) -> None:
    """A point of the learning curve as metrics at the count, each with its interval."""
    values: dict[str, float] = {}
    for name in CURVE_FIGURES:
        figure = point["headline"][name]
        values |= {
            f"shots_{name}{end}": figure[part] for end, part in (("", "value"), ("_low", "low"), ("_high", "high"))
        }
    report.metric(point["count"], **values)


@dataclass(frozen=True)
class Run:
    """What the trainings of all counts share."""

    spec: FewShotSpec
    start: Beginning
    parts: Mapping[str, TextRows]
    drawn: Mapping[int, list[int]]
    encoded: Mapping[str, list[list[int]]]
    report: Report
    out: Path
    micro_batch: int | None
    tasks: Sequence[range] = ()  # where texts of earlier tasks stand among those of train

    def stage(self, count: int, contract: Mapping[str, Any]) -> "Stage":
        """The training of one count, about to begin; its steps stand behind those of the counts before."""
        spec = self.spec
        torch.manual_seed(spec.seed)
        model = self.start.model()
        made = attached(model, spec, self.start.config.vocab_size)
        model.to(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
        planned = [self.work(model, one).planned for one in spec.counts]
        at = spec.counts.index(count)
        later = Later(self.report, before=sum(planned[:at]), total=sum(planned), is_last=count == spec.counts[-1])
        base = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
        work = self.work(model, count, later, base)
        trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
        self.report.log(
            "info",
            say(
                "{rows} texts of {labels_count} labels; {trainable:,} parameters are trained",
                rows=len(self.drawn[count]),
                labels_count=len(self.start.labels),
                trainable=trained,
            ),
        )
        epochs = spec.epochs if trained and spec.method != "frozen" else 0
        training = Training(
            model,
            torch.optim.AdamW(pulled(groups(model, spec), spec), lr=0.0, betas=(0.9, 0.999), eps=1e-8, fused=True),
            pace=Pace.of(spec, epochs=epochs, average_decay=0.0 if spec.method == "adalora" else spec.average_decay),
            report=later,
            out=self.out if len(spec.counts) == 1 else self.out / f"shots-{count}",
            contract=contract,
            companion=made or anchor_of(spec, model, {}),
        )
        return Stage(self, count, model, work, training)

    def work(
        self, model: Model, count: int, report: Report | None = None, base: Mapping[str, Tensor] | None = None
    ) -> FewShotWork:
        """The steps of the training of one count; `base` are the trained weights as they are before the first step."""
        rows = self.parts["train"].pick(self.drawn[count])
        place = {label: at for at, label in enumerate(self.start.labels)}
        learnt = Learnt(
            rows,
            [self.encoded["train"][at] for at in self.drawn[count]],
            torch.tensor([place[labels[0]] for labels in rows.labels]),
            self.encoded["dev"],
            torch.tensor([place[labels[0]] for labels in self.parts["dev"].labels], dtype=torch.long),
            [
                range(bisect_left(self.drawn[count], task.start), bisect_left(self.drawn[count], task.stop))
                for task in self.tasks
            ],
        )
        at_once = min(self.spec.batch_size, self.micro_batch or self.spec.batch_size)
        if isinstance(model, TextClassifier):
            return ContrastiveWork(self.start, model, learnt, report or self.report, at_once, base or {})
        return VerbaliserWork(self.start, model, learnt, report or self.report, at_once, base or {})


@dataclass
class Stage:
    """The training of one count."""

    run: Run
    count: int
    model: Model
    work: FewShotWork
    training: Training

    def fit(self) -> Cursor:
        """Train to the end, then make of the best weights what is kept."""
        cursor = self.training.fit(self.work)
        # What is saved from here on holds the best weights beside: a resume begins with them, not with the mixed ones.
        self.training.saving_when_stopped(self.work.finish)
        return cursor

    def evaluated(self, name: str) -> tuple[dict[str, Any], list[evaluate.ExampleRow]]:
        """Metrics and example rows of a part."""
        run = self.run
        logits: Tensor = self.training.saving_when_stopped(
            lambda: forward_all(self.model, run.encoded[name], run.report, phase=say("evaluating {name}", name=name))
        )
        part = run.parts[name]
        probabilities = torch.softmax(logits, -1).numpy()
        return evaluate.evaluate(probabilities, part.labels, part.ids, run.start.labels, seed=run.spec.seed)

    def point(self) -> dict[str, Any]:
        """The point of the learning curve: count, texts learnt from, and the figures on dev with their intervals."""
        headline = self.evaluated("dev")[0]["headline"]
        return {"count": self.count, "rows": len(self.run.drawn[self.count]), "headline": headline}

    def evaluations(self, points: list[dict[str, Any]]) -> dict[str, Any]:
        """Figures of dev and test in files; those of dev hold the learning curve."""
        told = {}
        for name in ("dev", "test"):
            if len(self.run.parts[name]):
                found, rows = self.evaluated(name)
                evaluate.write_rows(self.run.out / f"examples-{name}.parquet", rows)
                curve = {"curve": points} if points and name == "dev" else {}
                told[name] = kept_evaluation(self.run.out, {**found, **curve}, name)
        return told

    def save(self, folder: Path, description: dict[str, Any]) -> dict[str, Any]:
        """Write the model folder; returns what lingxi.json says."""
        start, companion = self.run.start, self.training.companion
        made = companion if isinstance(companion, Attached) else None
        if isinstance(self.model, TextClassifier):
            return save_classifier(folder, self.model, start.tokenizer, start.labels, description, attached=made)
        assert isinstance(self.model, WordScorer)
        more = {"pattern": start.spec.pattern, "words": start.words, "word_ids": start.word_ids}
        ends = {name: getattr(start.config, name, None) for name in ("eos_token_id", "bos_token_id", "pad_token_id")}
        return save_verbaliser(folder, self.model, start.tokenizer, {**description, **more}, attached=made, ends=ends)


@dataclass
class Later:
    """A report of one count's training inside the whole run: its steps stand behind those of the counts before.

    What is measured on dev on the way to a smaller count tells nothing of the model that is kept, so it is not told; the
    learning curve is.
    """

    report: Report
    before: int
    total: int
    is_last: bool

    def progress(self, done: int, total: int, unit: str, phase: str) -> None:
        if unit == "steps":
            done, total = min(done + self.before, self.total), self.total
        self.report.progress(done, total, unit, phase)

    def metric(self, step: int, **values: float) -> None:
        told = {name: value for name, value in values.items() if self.is_last or not name.startswith("dev_")}
        self.report.metric(step + self.before, **told)

    def log(self, level: str, message: str) -> None:
        self.report.log(level, message)

    def checkpoint(self, path: str, step: int, metrics: Mapping[str, float], *, is_best: bool) -> None:
        told = metrics if self.is_last else {}
        self.report.checkpoint(path, step + self.before, told, is_best=is_best and self.is_last)

    def part(self, path: str, first: int, rows: int) -> None:
        self.report.part(path, first, rows)

    def preflight(self, found: Mapping[str, Any]) -> None:
        self.report.preflight(found)

    def seen(self, found: Mapping[str, Any]) -> None:
        self.report.seen(found)

    def result(self, **values: Any) -> None:
        self.report.result(**values)

    def should_stop(self) -> bool:
        return self.report.should_stop()
