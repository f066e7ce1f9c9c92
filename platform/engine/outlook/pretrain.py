"""What a pretraining run would be like."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine import preflight_corpus
from engine.continuing import Earlier
from engine.corpus import PARTS
from engine.outlook import continuing
from engine.outlook.parts import PROCESS_BYTES, activation_bytes, seconds_for, spread_of, token_counts
from engine.recipes import pretrain_rehearsal, pretrain_setup
from engine.report import Report
from engine.seen import seen_documents
from engine.specs.pretrain import PretrainSpec
from words import say

SAMPLED_CHARACTERS = 2_000_000


def preflight_pretrain(
    spec: PretrainSpec, data: Path, report: Report, earlier: Sequence[Earlier] = ()
) -> dict[str, Any]:
    """The figures of a pretraining run; looks at every text, learns a vocabulary and counts tokens on the first ones."""
    report.progress(0, 3, "checks", say("reading"))
    rows = pretrain_setup.rows_of(spec, data)
    pretrain_rehearsal.earlier_rows_of(spec, rows, earlier)  # refused where there is nothing to keep
    found = preflight_corpus.survey(rows)
    problems = preflight_corpus.corpus_problems(spec, found)
    result: dict[str, Any] = {"rows": {part: rows.count(part) for part in PARTS}}
    if any(problem.severity == "error" for problem in problems):
        return {"problems": [problem.as_mapping() for problem in problems], **result}
    report.progress(1, 3, "checks", say("tokenising"))
    first = rows.first(SAMPLED_CHARACTERS)
    vocabulary = pretrain_setup.learn_vocabulary(spec, first)
    problems += preflight_corpus.vocabulary_problems(vocabulary, first)
    numbers, texts = zip(*((number, text) for part, number, text in first.rows() if part == "train"), strict=True)
    encoded = vocabulary.encode(texts)
    lengths = token_counts(encoded) + 1
    tokens_per_character = int(lengths.sum()) / sum(map(len, texts))
    tokens = {part: int(count * tokens_per_character) for part, count in found.characters.items()}
    report.progress(2, 3, "checks", say("estimating"))
    config = pretrain_setup.model_config(spec, vocabulary.size)
    total = config.parameter_count()
    learnt = spec.max_tokens or int(tokens["train"] * spec.epochs * continuing.rows_a_new_one(spec))
    weighed = continuing.fisher_tokens(spec, lengths, spec.context_tokens)
    steps = max(1, round(learnt / (spec.context_tokens * spec.batch_size * spec.gradient_accumulation)))
    looks = steps // spec.evaluate_every_steps if spec.evaluate_every_steps else spec.epochs
    looked_at = min(tokens["dev"], spec.dev_tokens or tokens["dev"])
    report.progress(3, 3, "checks", say("estimating"))
    return {
        "problems": [problem.as_mapping() for problem in problems],
        **result,
        "lengths": spread_of(lengths),
        "truncated_share": 0.0,
        "vocabulary_size": vocabulary.size,
        "tokens": tokens,
        "seen": seen_documents(
            vocabulary,
            ((at, [vocabulary.end, *ids, vocabulary.end]) for at, ids in zip(numbers, encoded, strict=True)),
        ),
        "parameters": {"total": total, "trainable": total},
        "estimate": {
            "steps": steps,
            "memory_bytes": PROCESS_BYTES
            + 4 * (5 + continuing.copies(spec)) * total
            + activation_bytes(spec, config.layers, config.width, spec.batch_size * spec.context_tokens),
            "seconds": seconds_for(
                6 * total * (learnt + weighed) + 2 * total * (looks * looked_at + tokens["dev"] + tokens["test"])
            ),
        },
    }
