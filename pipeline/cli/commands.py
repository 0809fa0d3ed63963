"""The commands of maskbeam: what each is for, the words that it takes, and the function that does it.

A new command is an entry here; `maskbeam --help`, parsing and calling follow from it. Functions are named, so that no
heavy library is imported before its command is known to be good.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module

from maskbeam.pipeline.cli.flags import ALL, FLAGS
from maskbeam.pipeline.options.compare import comparison_name, required_scores
from maskbeam.pipeline.options.flag import Flag
from maskbeam.pipeline.options.values import count, fraction

EXAMPLE = """example:
  maskbeam run --input 'scenes/*.tfrecord' --model unet.keras --classes labels.csv \\
               --products color,overlay --output out
"""
FORMAT = Flag(
    "lines for people, or one JSON document on standard output",
    metavar="WORD",
    choices=("text", "json"),
    name="format",
    default="text",
)
YES = Flag("remove them, and ask nothing", name="yes", default=False)
GROUP_BY = Flag(
    "a group is all ids that begin with the same so many parts", metavar="N", parse=count, name="group_by"
)
REVIEW = (
    Flag("what comes first", metavar="WORD", choices=("confidence", "rare"), name="by"),
    Flag("how many images are chosen", metavar="N", parse=count, name="top", default=500),
    Flag("at most so many of one folder, or of one group", metavar="N", parse=count, name="per_group"),
    GROUP_BY,
    Flag("so many images of each class, in the place of --top", metavar="N", parse=count, name="per_class"),
)
COMPARE = (
    Flag("of its folder, OUT/compare/NAME [truth, or old]", metavar="NAME", parse=comparison_name, name="name"),
    GROUP_BY,
    Flag(
        "also Boundary IoU, of bands so wide, as a share of the diagonal: 0.02 is usual",
        metavar="P",
        parse=fraction,
        name="boundary",
    ),
    Flag(
        "lower scores are exit code 3: miou=0.8,coverage=0.99",
        metavar="LIST",
        parse=required_scores,
        name="require",
        default=(),
    ),
)
ALL_INPUTS = Flag("also masks that other commands' --input made", name="all_inputs", default=False)


@dataclass(frozen=True)
class Command:
    """One command.

    Attributes:
        name: The word after `maskbeam`.
        help: One line for the list of commands.
        about: The head of its own help.
        function: `module:function`; it takes the words that were parsed by their names, and gives an exit code.
        out: True where a finished output is its first word.
        words: Flags that are its own.
        needs: Flags of a run that must be given.
        typed: True where flags of a run come as one `options`, else each by its name.
        beam: True where flags of Beam go beside its own.
        works: True where it runs a job, so that what is made while it starts lives as long as it does.
        example: Stands below its help.
    """

    name: str
    help: str
    about: str
    function: str
    out: bool = False
    words: tuple[Flag, ...] = ()
    needs: tuple[str, ...] = ()
    typed: bool = False
    beam: bool = False
    works: bool = False
    example: str | None = None

    @property
    def of_run(self) -> tuple[Flag, ...]:
        """The flags of a run that it heeds."""
        in_order = (flag for flags in FLAGS.values() for flag in flags)
        return tuple(flag for flag in in_order if self.name == "run" or self.name in flag.also)

    @property
    def flags(self) -> tuple[Flag, ...]:
        """All flags that it takes, but those of Beam."""
        return (*self.of_run, *self.words)

    def load(self) -> Callable[..., int]:
        """Imports the function."""
        module, _, name = self.function.partition(":")
        found: Callable[..., int] = getattr(import_module(module), name)
        return found


def _of_run(name: str) -> Flag:
    return next(flag for flag in ALL if flag.name == name)


_HERE = "maskbeam.pipeline"
COMMANDS = {
    command.name: command
    for command in (
        Command(
            "run",
            "segment images: masks and reports out",
            "Segment images: masks and reports out. Run again, it does only what is missing.\n"
            "Flags of Beam (--runner, ...) go beside ours. @FILE stands for the flags in a\n"
            "file, quoted as in a shell, comments after #; below a header such as [verify]\n"
            "for that command. Of a flag given twice the last one counts; of --input all.",
            f"{_HERE}.run:run",
            needs=("input", "model", "output"),
            typed=True,
            beam=True,
            works=True,
            example=EXAMPLE,
        ),
        Command(
            "inspect",
            "look at a model and how it wants its input",
            "Look at a model: its input, its head, and, with --input, which scaling fits it.",
            f"{_HERE}.commands.inspect.inspect_model:inspect",
            words=(FORMAT,),
            needs=("model",),
            typed=True,
        ),
        Command(
            "merge",
            "report on an output that was made in parts",
            "Report on an output whose parts (maskbeam run --part I/N) are all done.\n"
            "Their options are kept in it, but not whose code may run here: --trust_model,\n"
            "with --model and --custom_objects, is typed again, and so are flags of Beam.",
            f"{_HERE}.commands.merge:merge",
            out=True,
            typed=True,
            beam=True,
            works=True,
        ),
        Command(
            "verify",
            "check a whole output against its own records",
            "Check every mask and report of an output against its records.",
            f"{_HERE}.verify.verify:verify",
            out=True,
            words=(FORMAT,),
        ),
        Command(
            "clean",
            "list or remove the masks of inputs that are gone",
            "List the masks of inputs that the last run no longer found, and remove them\nwith their products. "
            "Without --yes it asks at a terminal; elsewhere, and with\n--format json, it only lists.",
            f"{_HERE}.commands.clean:clean_here",
            out=True,
            words=(FORMAT, YES, ALL_INPUTS),
        ),
        Command(
            "review",
            "list the images that a person should look at first",
            "List the images of an output that a person should look at first, as a manifest:\n"
            "maskbeam run --input OUT/review/confidence.csv does just these.",
            f"{_HERE}.commands.review.review:review",
            out=True,
            words=REVIEW,
            needs=("by",),
        ),
        Command(
            "compare",
            "measure an output's masks by the truth, or old labels",
            "Hold the masks of an output against the truth, or against old labels: scores with\n"
            "intervals, what is taken for what, and the worst images. Results are in\n"
            "OUT/compare/NAME; what is done is not done again. Flags of Beam go beside these.",
            f"{_HERE}.compare.compare:compare",
            out=True,
            words=COMPARE,
            typed=True,
            beam=True,
            works=True,
        ),
        Command(
            "demo",
            "make sample images and segment them",
            "Make sample images and segment them with the sample model.",
            f"{_HERE}.commands.demo.demo:demo",
            words=(replace(_of_run("output"), help="where everything goes", default="demo"),),
            works=True,
        ),
    )
}
