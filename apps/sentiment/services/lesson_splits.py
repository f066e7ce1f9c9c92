"""The rows of a lesson in its dataset, divided so that a run can learn from them and measure what it learnt."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from apps.datasets import selectors as kept
from apps.datasets import services as datasets
from apps.datasets.models import Dataset
from core.access import Actor

AT_ONCE = 1_000
DEV_EVERY = 5  # one text of so many measures what the others teach
LEAST = 2  # training rows of a label; a run refuses fewer
Records = Mapping[str, Mapping[str, Any]]


def put_rows(actor: Actor, dataset: Dataset, rows: Records) -> None:
    """Make the dataset hold these rows and no other ones of corrections; a row that is there keeps its split."""
    there = kept.examples(dataset).filter(external_id__startswith="text:").values_list("external_id", "split")
    known = {name: split for name, split in there if name}
    gone = kept.examples(dataset).filter(external_id__in=set(known) - set(rows))
    if gone.exists():
        datasets.bulk_change(actor=actor, dataset=dataset, rows=gone, action="delete")
    splits = divided(rows, known)
    items = [{"external_id": name, "record": rows[name], "split": splits[name]} for name in sorted(rows)]
    for begin in range(0, len(items), AT_ONCE):
        datasets.add(actor=actor, dataset=dataset, items=items[begin : begin + AT_ONCE])
    waiting = kept.examples(dataset).filter(external_id__in=[name for name, split in splits.items() if not split])
    datasets.bulk_change(actor=actor, dataset=dataset, rows=waiting, action="split", split="")


def divided(rows: Records, known: Mapping[str, str]) -> dict[str, str]:
    """External id -> split: a fifth is dev, in turn of each set of labels and by hash, as long as each label keeps its
    training rows. Rows with a label that nothing else teaches wait in no split; rows of one text stay together. Without two
    sets of labels in dev there is none: it could not tell one from the other, and a run refuses it.
    """
    labels = {name: tuple(sorted(row["labels"])) for name, row in rows.items()}
    waiting = _waiting(labels)
    splits = {name: "" if name in waiting else known.get(name) or "train" for name in rows}
    dev = [name for name, split in splits.items() if split == "dev"]
    train = Counter(label for name, split in splits.items() if split == "train" for label in labels[name])
    for label in [label for name in dev for label in labels[name] if train[label] < LEAST]:
        for name in [name for name in dev if label in labels[name]]:  # it teaches now
            splits[name] = "train"
            train.update(labels[name])
            dev.remove(name)
    kinds = {labels[name] for name in rows if name not in waiting}
    wanted = max(min(2, len(kinds)), (len(rows) - len(waiting)) // DEV_EVERY)
    fresh = {name for name, split in splits.items() if split == "train" and (not known.get(name) or not dev)}
    for group in _in_turn(fresh, labels, Counter(labels[name] for name in dev)):
        lost = Counter(label for name in group for label in labels[name])
        if len(dev) < wanted and all(train[label] - count >= LEAST for label, count in lost.items()):
            dev += group
            train -= lost
            splits |= dict.fromkeys(group, "dev")
    told_apart = len({labels[name] for name in dev}) > 1 or [len(kind) for kind in kinds] == [1]
    return splits if told_apart else splits | dict.fromkeys(dev, "train")


def _waiting(labels: Mapping[str, tuple[str, ...]]) -> set[str]:
    """Rows with a label that fewer than LEAST rows have, those left out not counted."""
    waiting: set[str] = set()
    while True:
        counts = Counter(label for name, found in labels.items() if name not in waiting for label in found)
        more = {name for name, found in labels.items() if any(counts[label] < LEAST for label in found)} - waiting
        if not more:
            return waiting
        waiting |= more


def _in_turn(names: set[str], labels: Mapping[str, tuple[str, ...]], seen: Counter[tuple[str, ...]]) -> list[list[str]]:
    """Rows of one text together, in turn of each set of labels, by their hashes; `seen` sets had their turns."""
    texts: dict[str, list[str]] = defaultdict(list)
    for name in sorted(names):
        texts[name.split(":")[1]].append(name)
    order = []
    for digest, group in sorted(texts.items()):
        order.append((seen[labels[group[0]]], digest))
        seen[labels[group[0]]] += 1
    return [texts[digest] for _turn, digest in sorted(order)]
