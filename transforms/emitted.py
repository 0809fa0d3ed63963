"""The meaning of class ids that a model emits by itself: channels of the class table, or the table's ids."""

from collections.abc import Sequence

import numpy as np

from maskbeam.transforms.elements import Array


def two_meanings(channel_ids: Sequence[int]) -> list[int]:
    """The values that are both a channel of the table and an id of another channel.

    Args:
        channel_ids: Id of each channel.
    """
    return [i for i in channel_ids if i < len(channel_ids) and channel_ids[i] != i]


def emits_ids(channel_ids: Sequence[int], seen: Sequence[int]) -> bool:
    """True if a model must be emitting ids: what it gave are ids of the table, and not all of them channels.

    Only asked where values have two meanings; elsewhere each is read as what it can be.

    Args:
        channel_ids: Id of each channel.
        seen: What the model gave for a probe batch.
    """
    channels = range(len(channel_ids))
    return (
        bool(two_meanings(channel_ids)) and set(channel_ids).issuperset(seen) and not set(channels).issuperset(seen)
    )


def assumed_note(channel_ids: Sequence[int], seen: Sequence[int]) -> str | None:
    """A note for a person where values are read as channels and could be ids; None where that is certain."""
    doubtful = two_meanings(channel_ids)
    if not doubtful or emits_ids(channel_ids, seen) or not set(channel_ids).issuperset(seen):
        return None
    value = doubtful[0]
    return (
        f"the model's class ids are taken for channels: where it gives {value}, masks hold {channel_ids[value]}; if "
        "it gives the table's ids, use a table with a row for every value from 0 on"
    )


def lookup(channel_ids: Sequence[int], *, are_ids: bool) -> Array:
    """Int32 `[V]`: the id that each value stands for which a model emits; -1 where it stands for none.

    Args:
        channel_ids: Id of each channel.
        are_ids: Whether the model emits ids; else channels, and ids where no value has two meanings.
    """
    table = np.full(max(len(channel_ids), max(channel_ids) + 1), -1, np.int32)
    if are_ids or not two_meanings(channel_ids):
        table[list(channel_ids)] = channel_ids
    if not are_ids:
        table[: len(channel_ids)] = channel_ids
    return table
