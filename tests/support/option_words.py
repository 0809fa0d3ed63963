"""Words that give a flag another value than its default."""

import argparse

from maskbeam.pipeline.options.flag import Flag

WORDS = ("7", "SCL=3,8", "opencv-area", "0.25", "0.5", "1,2", "1,2,3", "5%", "color,overlay", "2/3")
OF_FLAG = {"binary_classes": "class_2", "normalize": "-1..1", "output_name": "two words, a comma"}
# What would be refused, or would do nothing, without another one.
BESIDE = {
    "binary_classes": ["--products=binary"],
    "custom_objects": ["--trust_model"],
    "tile_size": ["--resize=tile"],
}


def another(flag: Flag) -> list[str]:
    """A flag with another value than its default."""
    if not flag.has_value:
        return [f"--{flag.name}"]
    for word in [OF_FLAG[flag.name]] if flag.name in OF_FLAG else flag.choices or WORDS:
        try:
            if flag.parse(word) != flag.default:
                return [f"--{flag.name}={word}"]
        except (argparse.ArgumentTypeError, ValueError):
            continue
    raise AssertionError(f"no word for --{flag.name}: add one to WORDS")
