"""`maskbeam verify`: checks a whole output against its own records, pixel by pixel."""

import json
from array import array
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain, islice

from maskbeam.pipeline.exit_codes import ExitCode
from maskbeam.pipeline.inputs.ids import encode_id
from maskbeam.pipeline.output.claim import TEXT_KEY
from maskbeam.pipeline.output.finished import FinishedOutput, read_json
from maskbeam.pipeline.output.finished_rows import FinishedImage
from maskbeam.pipeline.output.orphans import Images, claim_of, digest_of
from maskbeam.pipeline.output.ours import image_folders, without_extension
from maskbeam.pipeline.output.tree import SUCCESS
from maskbeam.pipeline.storage import Listed, Storage, absolute, join, open_storage
from maskbeam.pipeline.text.wording import plural, printable
from maskbeam.pipeline.verify.checked import Checked
from maskbeam.pipeline.verify.verify_blocks import left_blocks
from maskbeam.pipeline.verify.verify_footprints import compare_footprints, feature_digest
from maskbeam.pipeline.verify.verify_image import check_image
from maskbeam.pipeline.verify.verify_reports import compare_reports, row_differs
from maskbeam.transforms.measures.counted import Sums
from maskbeam.transforms.products.registry import product, product_names

_SHOWN = 100
_THREADS = 8
_BATCH = 512


class _Findings:
    """Differences and orphans: the first ones in words, all of them counted."""

    def __init__(self, *, told: bool) -> None:
        self.differences = self.orphans = 0
        self.shown: dict[str, list[str]] = {"DIFFERENT": [], "ORPHAN": []}
        self._told = told

    def difference(self, text: str) -> None:
        self.differences += 1
        self._show("DIFFERENT", text, self.differences)

    def orphan(self, path: str) -> None:
        self.orphans += 1
        self._show("ORPHAN", path, self.orphans)

    def _show(self, word: str, text: str, number: int) -> None:
        if number <= _SHOWN:
            self.shown[word].append(text)
        if self._told:
            _say(f"{word:<9} {text}", number)


def verify(output: str, *, format: str = "text") -> int:
    """Decodes every mask of an output, recounts its pixels and compares them with everything that was said of them.

    Prints each difference, and the orphans: files of the same model and options that no row of the report claims,
    such as those of inputs that the last command did not name, and blocks of images that are not done. Memory holds
    16 bytes an image.

    Args:
        output: The output folder, local or on GCS.
        format: `text`, or `json` for one document in the place of lines.

    Returns:
        The command's exit code: `DONE` when nothing differs, else `FAILED`.

    Raises:
        RunError: No run has finished there.
    """
    root = absolute(output).rstrip("/")
    storage = open_storage(root, named=root)
    success = read_json(storage, root, SUCCESS) if storage.stat(join(root, SUCCESS)) else None
    if success is None:
        read_json(storage, root, "reports/summary.json")
        if format == "text":
            _say("there is no _SUCCESS: the last run ended with too many failures, or was stopped", 0)
    made, findings = FinishedOutput.begun(root, storage), _Findings(told=format == "text")
    statistics, images, features = _check_rows(made, findings)
    said = compare_reports(made, success, statistics, len(images))
    for text in chain(said, compare_footprints(made, features)):
        findings.difference(text)
    _check_files(made, images, findings)
    for path, wrong in left_blocks(made):
        findings.difference(f"{path} {wrong}") if wrong else findings.orphan(path)
    if format == "json":
        print(_document(root, len(images), findings, success=success is not None))  # noqa: T201
    else:
        _conclude(root, len(images), findings)
    return ExitCode.FAILED if findings.differences else ExitCode.DONE


def _document(root: str, images: int, findings: _Findings, *, success: bool) -> str:
    found = {
        "output": root,
        "success": success,
        "images": images,
        "differences": findings.differences,
        "orphans": findings.orphans,
        "first_differences": findings.shown["DIFFERENT"],
        "first_orphans": findings.shown["ORPHAN"],
    }
    return json.dumps(found, indent=1)


def _check_rows(made: FinishedOutput, findings: _Findings) -> tuple[Sums, Images, int]:
    total, names, texts, features = Sums.zero(), array("Q"), array("Q"), 0
    rows, check = made.images(), partial(_check_row, made)
    with ThreadPoolExecutor(_THREADS) as pool:
        while batch := list(islice(rows, _BATCH)):
            names.extend(digest_of(encode_id(row.image_id)) for row in batch)
            found = list(pool.map(check, batch))
            total += Sums.over((row.image_id, c.counted) for row, c in zip(batch, found, strict=True) if c.counted)
            features += sum(feature_digest(made, row, each) for row, each in zip(batch, found, strict=True))
            for checked in found:
                texts.append(digest_of(checked.text))
                for text in checked.differences:
                    findings.difference(text)
    return total, Images(names, texts), features


def _check_row(made: FinishedOutput, row: FinishedImage) -> Checked:
    checked = check_image(made, row.image_id, row.place)
    if checked.counted is not None and row_differs(row, checked, made.classes, on_earth=made.is_geotiff):
        checked.differences.append(
            f"reports/images.csv says something else of {encode_id(row.image_id)} than its mask"
        )
    return checked


def _check_files(made: FinishedOutput, images: Images, findings: _Findings) -> None:
    """Tells files that no row claims from those of another model or other options, and looks at masks' metadata."""
    for listed in _files(made.storage, made.root):
        path = listed.uri[len(made.root) + 1 :]
        name = _name(path, made)
        text = None if name is None else images.text(name)
        if name is not None and text is not None:
            shown = (listed.metadata or {}).get(TEXT_KEY)
            if shown is not None and path == made.record_path.format(name) and digest_of(shown) != text:
                findings.difference(f"{path} says something else in its metadata than inside")
            continue
        claim = claim_of(made.storage, join(made.root, path))
        if claim is None or claim.fingerprint != made.fingerprint:
            findings.difference(f"{path} is not of this model and these options, and no row of the report claims it")
        else:
            findings.orphan(path)


def _files(storage: Storage, root: str) -> Iterator[Listed]:
    for folder in image_folders():
        yield from storage.list(f"{root}/{folder}/")


def _name(path: str, made: FinishedOutput) -> str | None:
    """The encoded id that a file is named after; None where these settings make no such file."""
    folder, _, below = path.partition("/")
    if folder not in made.products | {made.record_path.partition("/")[0]}:
        return None
    if folder in product_names() and product(folder).is_by_class(planes=made.planes):
        named, _, below = below.partition("/")
        if named not in made.binary:
            return None
    return without_extension(below)


def _conclude(root: str, images: int, findings: _Findings) -> None:
    if findings.orphans:
        orphans = plural(findings.orphans, "orphan")
        print(f"{orphans}: of inputs that the last command did not name, or that failed in it")  # noqa: T201
    found = plural(findings.differences, "difference") if findings.differences else "no difference"
    print(f"Verified {plural(images, 'image')} in {printable(root)}: {found}.")  # noqa: T201


def _say(text: str, number: int) -> None:
    if number <= _SHOWN:
        print(printable(text))  # noqa: T201
    elif number == _SHOWN + 1:
        print("... and more of these")  # noqa: T201
