"""A job's options as a part leaves them in an output, for `maskbeam merge`: values by flag, of which none is run.

An output is data that people hand on. So what says whose code runs here is not among them, nor are flags of Beam,
some of which name programs to start: whoever merges types these.
"""

import argparse
import shlex
from dataclasses import replace
from typing import Any

from maskbeam.pipeline.cli.flags import FLAGS, value_of
from maskbeam.pipeline.options import RunOptions
from maskbeam.pipeline.options.flag import Flag
from maskbeam.transforms.errors import RunError

#: Flags of a run that a merge takes, too, beside those of Beam.
TYPED = ("model", "trust_model", "custom_objects")
_KEPT = {flag.name: flag for group in FLAGS.values() for flag in group if flag.kept}

Stored = dict[str, Any]


def to_stored(options: RunOptions) -> Stored:
    """The values of all flags that are kept and not at their defaults.

    Of a model that was trusted the path is left out, and `trusted` says so: it is to be named by who trusts it.
    """
    values = {name: value_of(options, flag) for name, flag in _KEPT.items()}
    flags = {name: _plain(_KEPT[name], value) for name, value in values.items() if value != _KEPT[name].default}
    if options.model.trust:
        del flags["model"]
    return {"flags": flags, "trusted": options.model.trust}


def from_stored(stored: Stored) -> RunOptions:
    """The options that `to_stored` was given, but for what it leaves out.

    Raises:
        ValueError: They hold something that it does not write.
    """
    options = RunOptions()
    for name, plain in stored["flags"].items():
        if name not in _KEPT:
            raise ValueError(f"a part keeps no --{name}")
        section, field = _KEPT[name].target.split(".")
        options = replace(options, **{section: replace(getattr(options, section), **{field: _parsed(name, plain)})})
    return options


def options_of_merge(stored: Stored, typed: RunOptions, output: str) -> RunOptions:
    """The options of the whole job: a part's, and what was typed for the merge.

    Args:
        stored: As `to_stored` writes them.
        typed: The flags of `TYPED` and Beam's.
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


def _plain(flag: Flag, value: Any) -> Any:
    if isinstance(value, bool):
        return value
    if flag.many:
        return list(value)
    parts = sorted(value) if isinstance(value, frozenset) else value if isinstance(value, tuple) else (value,)
    return ",".join(map(str, parts))


def _parsed(name: str, plain: Any) -> Any:
    flag = _KEPT[name]
    if isinstance(flag.default, bool):
        return _checked(name, plain, plain is True)
    if flag.many:
        return tuple(_checked(name, plain, isinstance(plain, list) and all(isinstance(word, str) for word in plain)))
    _checked(name, plain, isinstance(plain, str) and (flag.choices is None or plain in flag.choices))
    try:
        return flag.parse(plain)
    except argparse.ArgumentTypeError as error:
        raise ValueError(str(error)) from None


def _checked(name: str, plain: Any, good: bool) -> Any:
    if not good:
        raise ValueError(f"this is no value of --{name}")
    return plain
