"""Sums over a whole run: a monoid, so that any split of the input gives the same."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam

from maskbeam.pipeline.inputs.records import record_of
from maskbeam.pipeline.output.outcome import Outcome
from maskbeam.transforms.elements import Failure
from maskbeam.transforms.errors import Code
from maskbeam.transforms.measures.counted import Sums

# A bucket of a hundred million images holds some 100,000 rows.
BUCKETS = 1000
_FREED_REASON = "what had this id before is no input any more: its mask gives way when the same command is run again"
# How many finished images the report shows as overlays.
SAMPLES = 16
# Reasons that differ in numbers only are one kind; so many kinds of a code are told apart.
KINDS = 100
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
# Of each kind: how many, and the first in alphabetical order, so that it does not depend on the order of work.
Kinds = Mapping[str, tuple[int, str]]


def bucket_of(text: str) -> int:
    """The bucket of an id: the same in every run and process."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8, person=b"bucket").digest()
    return int.from_bytes(digest) % BUCKETS


@dataclass(frozen=True)
class Resolved:
    """All inputs of one bucket of ids, each in exactly one of the three lists; sorted."""

    bucket: int
    done: tuple[Outcome, ...]
    failed: tuple[Failure, ...]
    duplicates: tuple[Outcome, ...]


@dataclass(frozen=True)
class Totals:
    """Sums over images.

    Attributes:
        statistics: What was counted of all images that are done.
        done: Images with a mask.
        duplicates: Inputs that are copies of an image that is done.
        failed: Number of failures by code.
        reasons: By code, the reasons by kind.
        samples: The images with the smallest digests of their ids: a seeded sample.
        skipped: Images that this run found done.
        updated: Images whose source had changed since they were done.
        workers: Images by the process that did them.
    """

    statistics: Sums
    done: int = 0
    duplicates: int = 0
    failed: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, Kinds] = field(default_factory=dict)
    samples: tuple[tuple[str, Outcome], ...] = ()
    skipped: int = 0
    updated: int = 0
    workers: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, resolved: Resolved) -> "Totals":
        """The sums over one bucket."""
        statistics = Sums.over((o.image_id, o.counted) for o in resolved.done if o.counted)
        return cls(
            statistics,
            done=len(resolved.done),
            duplicates=len(resolved.duplicates),
            failed=_count(failure.code for failure in resolved.failed),
            reasons=_reasons(resolved.failed),
            samples=_smallest((_digest(o.image_id), o) for o in resolved.done),
            skipped=sum(o.skipped for o in resolved.done),
            updated=sum(o.updated for o in resolved.done),
            workers=_count(o.worker for o in resolved.done if not o.skipped),
        )

    def __add__(self, other: "Totals") -> "Totals":
        codes = sorted({*self.reasons, *other.reasons})
        return Totals(
            self.statistics + other.statistics,
            self.done + other.done,
            self.duplicates + other.duplicates,
            _added(self.failed, other.failed),
            {code: _joined(self.reasons.get(code, {}), other.reasons.get(code, {})) for code in codes},
            _smallest([*self.samples, *other.samples]),
            self.skipped + other.skipped,
            self.updated + other.updated,
            _added(self.workers, other.workers),
        )

    @property
    def reason_counts(self) -> dict[str, dict[str, int]]:
        """By code, reasons and how many images failed for them, most first; of each kind one stands for all."""
        return {
            code: {reason: count for count, reason in sorted(kinds.values(), key=lambda kind: (-kind[0], kind[1]))}
            for code, kinds in self.reasons.items()
        }

    @property
    def inputs(self) -> int:
        """Inputs that came to an end, one way or another."""
        return self.done + self.duplicates + sum(self.failed.values())


class SumTotals(beam.CombineFn):
    """Adds up `Totals`."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def create_accumulator(self) -> Totals:
        return Totals(Sums.zero())

    def add_input(self, accumulator: Totals, element: Totals) -> Totals:
        return accumulator + element

    def merge_accumulators(self, accumulators: Iterable[Totals]) -> Totals:
        return sum(accumulators, self.create_accumulator())

    def extract_output(self, accumulator: Totals) -> Totals:
        return accumulator


def resolve(bucket: int, outcomes: Iterable[Outcome], failures: Iterable[Failure]) -> Resolved:
    """Decides who keeps each id of a bucket, whatever order its inputs come in.

    Of several sources under one id, the one whose place has the smallest digest keeps it. The others are duplicates
    if their bytes are the same, else failures `DUPLICATE_ID`. Who lost to a mask whose source is no input any more is
    a failure `ID_FREED`: that mask is of no use to anybody.
    """
    done: list[Outcome] = []
    failed = list(failures)
    present = {(failure.image_id, failure.source.place) for failure in failed}
    duplicates: list[Outcome] = []
    for outcome in sorted(outcomes, key=_contest):
        held_by = done[-1].source.content if done and done[-1].image_id == outcome.image_id else None
        if not outcome.lost and held_by is None:
            done.append(outcome)
        elif outcome.source.content == held_by:
            duplicates.append(outcome)
        elif held_by is None and outcome.rival and (outcome.image_id, outcome.rival) not in present:
            failed.append(Failure(outcome.image_id, outcome.source, Code.ID_FREED, _FREED_REASON))
        else:
            failed.append(_contested(outcome))
    failed.sort(key=lambda f: (f.image_id, f.source.where, f.source.version, f.code))
    return Resolved(bucket, tuple(done), tuple(failed), tuple(duplicates))


def _contest(outcome: Outcome) -> tuple[Any, ...]:
    return outcome.image_id, outcome.lost, outcome.source.place, outcome.skipped, outcome.worker


def _contested(outcome: Outcome) -> Failure:
    reason = "another input has the same id and keeps it; give ids of their own with "
    if record_of(outcome.source):
        reason += (
            "--name_key, a key of the records whose names differ, or one that they lack: then their place is the id"
        )
    else:
        reason += "--keep_extension (same name, other extension) or --id_root (same name, other folder)"
    return Failure(outcome.image_id, outcome.source, Code.DUPLICATE_ID, reason)


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8, person=b"sample").hexdigest()


def _smallest(samples: Iterable[tuple[str, Outcome]]) -> tuple[tuple[str, Outcome], ...]:
    return tuple(sorted(samples, key=lambda s: (s[0], s[1].image_id))[:SAMPLES])


def _count(keys: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for key in keys:
        counts[key] = counts.get(key, 0) + 1
    return counts


def _added(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    return {key: one.get(key, 0) + other.get(key, 0) for key in sorted({*one, *other})}


def _reasons(failures: Iterable[Failure]) -> dict[str, Kinds]:
    reasons: dict[str, Kinds] = {}
    for failure in failures:
        kind = {_NUMBER.sub("#", failure.reason): (1, failure.reason)}
        reasons[failure.code] = _joined(reasons.get(failure.code, {}), kind)
    return reasons


def _joined(one: Kinds, other: Kinds) -> Kinds:
    # The first kinds in alphabetical order are the same ones, fully counted, however the failures are split.
    kinds = sorted({*one, *other})[:KINDS]
    found = {kind: [each[kind] for each in (one, other) if kind in each] for kind in kinds}
    return {
        kind: (sum(count for count, _ in held), min(reason for _, reason in held)) for kind, held in found.items()
    }
