"""Facts about the input before work starts, without listing all of it."""

from collections import Counter
from dataclasses import dataclass
from itertools import islice

from maskbeam.pipeline.inputs.check_manifests import check_manifests
from maskbeam.pipeline.inputs.containers.kinds import Kind
from maskbeam.pipeline.inputs.find_inputs import Listing, ids_below, root_of
from maskbeam.pipeline.inputs.listing import listed_in_words
from maskbeam.pipeline.options import ReadOptions
from maskbeam.pipeline.text.wording import plural

# Listed in a moment: a page of a bucket's listing, or a folder.
_MOST = 1000


@dataclass(frozen=True)
class Survey:
    """Facts about all patterns.

    Attributes:
        roots: The folders below which ids begin.
        amount: How many files there are, and what is left out, as far as it is known.
        rivals: How many image files, of those that were looked at, have the id of another one.
    """

    roots: tuple[str, ...]
    amount: str
    rivals: int = 0

    def __str__(self) -> str:
        return f"{self.amount}; {ids_below(self.roots)}{self._contest}"

    @property
    def _contest(self) -> str:
        if not self.rivals:
            return ""
        have, fail = ("have", "they fail") if self.rivals > 1 else ("has", "it fails")
        return (
            f"; {plural(self.rivals, 'file')} {have} the id of another, and unless the bytes are the same {fail} as "
            "DUPLICATE_ID: --keep_extension or --id_root tells them apart"
        )


def survey(options: ReadOptions) -> Survey:
    """Looks at the first thousand inputs of each pattern; `options` hold absolute patterns.

    Raises:
        RunError: A pattern matches nothing, unless `allow_empty`; a manifest lists what are no files.
    """
    check_manifests(options.patterns)
    roots, kinds, left_out, more, joined = [], Counter[Kind](), Counter[str](), False, 0
    ids: dict[str, str] = {}
    for pattern in options.patterns:
        listing = Listing([pattern], options)
        inputs = list(islice(listing, _MOST + 1))
        roots.append(options.id_root or (root_of(pattern, inputs[0].entry.first_file) if inputs else pattern))
        kinds.update(found.counts_as for found in inputs[:_MOST])
        ids.update((found.entry.uri, found.entry.image_id) for found in inputs if found.kind is Kind.IMAGE)
        joined += sum(bool(found.entry.bands) for found in inputs[:_MOST])
        left_out.update(listing.listed.left_out)
        more = more or len(inputs) > _MOST
    files = kinds[Kind.IMAGE]
    amount = listed_in_words(files, kinds.total() - files, left_out, joined=joined)
    if more:
        amount = f"over {plural(kinds.total(), 'image' if joined else 'file')}"
    return Survey(tuple(dict.fromkeys(roots)), amount, len(ids) - len(set(ids.values())))
