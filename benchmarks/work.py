"""The work of each part of the benchmark: images, models, and who runs on them."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from benchmarks.contenders import Contender, host_work, ours, peers, plain_script
from benchmarks.data import mixed_sizes, photographs, write_shards
from maskbeam.pipeline.inputs.containers.example import parse_example
from maskbeam.pipeline.inputs.containers.tfrecord import ShardRecord, read_records


@dataclass(frozen=True)
class Scale:
    """How much is measured.

    Attributes:
        images: 480 x 360 images of the main part.
        rounds: How often contenders take turns.
        few: Images of the parts that only say how something compares.
        heavy: Images for the heavy model and for the one with 21 classes, each.
        large: Images of 4000 x 3000.
        tiny: Images of 32 x 24.
        long: Images of the shorter and of the longer run between which memory may not grow.
        seconds: For each measurement of the model alone.
        everything: Whether to measure also what has no target: other images, one core, 21 classes, logits.
    """

    images: int
    rounds: int
    few: int
    heavy: int
    large: int
    tiny: int
    long: tuple[int, int]
    seconds: float = 12
    everything: bool = True


FULL = Scale(images=2800, rounds=3, few=1000, heavy=240, large=60, tiny=100_000, long=(3000, 30_000))
QUICK = Scale(images=320, rounds=1, few=160, heavy=12, large=0, tiny=0, long=(320, 1000), seconds=3, everything=False)


class Data:
    """The inputs, made when first asked for and kept in `folder`."""

    def __init__(self, folder: Path, scale: Scale) -> None:
        self._folder = folder
        self._scale = scale

    def main(self) -> str:
        return self._shards("main", [(360, 480)] * self._scale.images)

    def few(self, count: int) -> str:
        return self._shards(f"first-{count}", [(360, 480)] * count)

    def mixed(self) -> str:
        return self._shards("mixed", mixed_sizes(self._scale.few))

    def large(self) -> str:
        return self._shards("large", [(3000, 4000)] * self._scale.large)

    def tiny(self) -> str:
        return self._shards("tiny", [(24, 32)] * self._scale.tiny)

    def long(self, count: int) -> str:
        """The main images again and again, under new names."""
        self.main()
        sources = sorted((self._folder / f"main-{self._scale.images}").glob("*.tfrecord"))

        def endless() -> Iterator[bytes]:
            while True:
                yield from chain.from_iterable(map(_files, sources))

        return f"{write_shards(self._folder / f'long-{count}', islice(endless(), count))}/*.tfrecord"

    def _shards(self, name: str, sizes: list[tuple[int, int]]) -> str:
        return f"{write_shards(self._folder / f'{name}-{len(sizes)}', photographs(sizes))}/*.tfrecord"

    def model(self, size: int = 128, classes: int = 3) -> Path:
        """The tutorial's model, or the same for larger inputs and more classes."""
        path = self._folder / f"unet-{size}-{classes}.keras"
        if not path.exists():
            self._make_models()
        return path

    def _make_models(self) -> None:
        from benchmarks.unet import enlarged, train_unet

        self._folder.mkdir(parents=True, exist_ok=True)
        model = train_unet()
        model.save(self._folder / "unet-128-3.keras")
        for size, classes in ((640, 3), (512, 21)):
            enlarged(model, size, classes).save(self._folder / f"unet-{size}-{classes}.keras")


def _files(shard: Path) -> Iterator[bytes]:
    with shard.open("rb") as stream:
        for record in read_records(stream):
            if isinstance(record, ShardRecord):
                yield parse_example(record.payload, {"image/encoded"}).bytes_of("image/encoded")


def main_contenders(data: Data, scale: Scale) -> list[Contender]:
    """Everybody, on the same work."""
    shards, model = data.main(), data.model()
    without_target = [
        plain_script(shards, model),
        ours(shards, model, "maskbeam, TensorFlow, logits", "--upsample", "logits"),
        ours(shards, model, "maskbeam, OpenVINO, logits", "--upsample", "logits", engine="openvino"),
    ]
    return [
        ours(shards, model, "maskbeam, TensorFlow"),
        *peers(shards, model),
        ours(shards, model, "maskbeam, OpenVINO", engine="openvino"),
        *(without_target if scale.everything else ()),
        ours(shards, model, "maskbeam, TensorFlow, all products", "--upsample", "labels", "--products", "all"),
    ]


def other_contenders(data: Data, scale: Scale) -> list[Contender]:
    """Ours on work of other kinds."""
    around_the_model = [host_work(data.main(), "labels"), host_work(data.main(), "logits")]
    if not scale.everything:
        return around_the_model
    model, few = data.model(), data.few(scale.few)
    one_core = ours(few, model, "one core")
    return [
        *around_the_model,
        ours(data.mixed(), model, "mixed sizes"),
        ours(data.large(), model, "4000 x 3000"),
        ours(data.large(), model, "4000 x 3000, --fast_decode", "--upsample", "labels", "--fast_decode"),
        host_work(data.tiny(), "labels", name="tiny images, constant engine"),
        ours(few, model, "all cores"),
        Contender(one_core.name, one_core.module, one_core.arguments, one_core.last, cores=1),
    ]
