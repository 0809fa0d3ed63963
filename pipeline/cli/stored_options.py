"""A job's options as a part leaves them in an output, for `maskbeam merge`: values by field, of which none is run.

An output is data that people hand on. So what says whose code runs here is not among them, nor are flags of Beam,
some of which name programs to start: whoever merges types these.
"""

import argparse
import shlex
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from maskbeam.pipeline.cli.flags import ALL, value_of, with_value
from maskbeam.pipeline.options import RunOptions
from maskbeam.pipeline.options.flag import Flag, plain
from maskbeam.transforms.errors import RunError

_KEPT = {flag.target: flag for flag in ALL if flag.kept}
_BY_NAME = {flag.name: flag for flag in _KEPT.values()}

Stored = dict[str, Any]


def to_stored(options: RunOptions) -> Stored:
    """The values of all fields that are kept and not at their defaults.

    Of a model that was trusted the path is left out, and `trusted` says so: it is to be named by who trusts it.
    """
    values = {target: value_of(options, flag) for target, flag in _KEPT.items()}
    held = {target: plain(value) for target, value in values.items() if value != _KEPT[target].default}
    if options.model.trust:
        del held["model.path"]
    return {"fields": held, "trusted": options.model.trust}


def read_stored(stored: Stored) -> Stored:
    """Options as `to_stored` writes them, of those or of an older version's: values by flag, as words.

    Raises:
        ValueError: They hold something that neither writes.
    """
    if "flags" not in stored:
        return {"fields": dict(stored["fields"]), "trusted": stored["trusted"]}
    unknown = sorted(set(stored["flags"]) - set(_BY_NAME))
    if unknown:
        raise ValueError(f"a part keeps no --{unknown[0]}")
    held = {_BY_NAME[name].target: _of_word(_BY_NAME[name], word) for name, word in stored["flags"].items()}
    return {"fields": held, "trusted": stored["trusted"]}


def from_stored(stored: Stored) -> RunOptions:
    """The options that `to_stored` was given, but for what it leaves out.

    Raises:
        ValueError: They hold something that it does not write.
    """
    options = RunOptions()
    for target, value in read_stored(stored)["fields"].items():
        if target not in _KEPT:
            raise ValueError(f"a part keeps no {target}")
        options = with_value(options, _KEPT[target], _of_json(_KEPT[target], value))
    return options


def options_of_merge(stored: Stored, typed: RunOptions, output: str) -> RunOptions:
    """The options of the whole job: a part's, and what was typed for the merge.

    Args:
        stored: As `to_stored` writes them.
        typed: The flags of a run that a merge takes, too, and Beam's.
        output: The output folder.

    Raises:
        RunError: The parts trusted their model's code, and nobody says so here.
        ValueError: As of `from_stored`.
    """
    options, model = from_stored(stored), typed.model
    if stored["trusted"] is not False and not (model.path and model.trust):
        raise RunError(
            f"the parts in {output} were run with --trust_model, and no folder decides whose code runs here: say it "
            f"again, with the model: maskbeam merge {shlex.quote(output)} --model MODEL --trust_model, and with "
            "--custom_objects where the parts had it"
        )
    kept = replace(
        options.model,
        path=model.path or options.model.path,
        trust=model.trust,
        custom_objects=model.custom_objects,
    )
    return replace(options, model=kept, output=replace(options.output, path=output), beam=typed.beam)


def flags_that_differ(stored: Sequence[Stored]) -> list[str]:
    """The flags, with dashes, that parts do not agree on; of options as `read_stored` gives them."""
    names = {target: f"--{flag.name}" for target, flag in _KEPT.items()}
    held = [{**each["fields"], "trusted": each["trusted"]} for each in stored]
    targets = {target for each in held for target in each}
    found = (target for target in targets if any(each.get(target) != held[0].get(target) for each in held))
    return sorted({"trusted": "--trust_model", **names}.get(target, target) for target in found)


def _of_word(flag: Flag, word: Any) -> Any:
    if isinstance(flag.default, bool) or flag.many:
        return word
    _check(flag, isinstance(word, str))
    return plain(_parsed(flag, word))


def _of_json(flag: Flag, value: Any) -> Any:
    """A field's value; each must be one that its flag can give."""
    if isinstance(flag.default, bool):
        _check(flag, isinstance(value, bool))
        return value
    if flag.many:
        _check(flag, isinstance(value, list) and all(isinstance(word, str) for word in value))
        return tuple(_parsed(flag, word) for word in value)
    parsed = _parsed(flag, ",".join(map(str, value)) if isinstance(value, list) else str(value))
    _check(flag, plain(parsed) == value)
    return parsed


def _parsed(flag: Flag, word: str) -> Any:
    _check(flag, flag.choices is None or word in flag.choices)
    try:
        return flag.parse(word)
    except argparse.ArgumentTypeError as error:
        raise ValueError(str(error)) from None


def _check(flag: Flag, good: bool) -> None:
    if not good:
        raise ValueError(f"this is no value of --{flag.name}")
