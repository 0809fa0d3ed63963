"""The products that an output may hold beside masks: one line for each. Whoever asks what there is asks here.

A product's module is imported when somebody asks for the product: its name alone, which `--help` shows, needs none.
"""

from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from maskbeam.transforms.products.product import Product

# The module of each, whose `PRODUCT` it is, in the order in which people are told of them.
MODULES = {
    "color": "maskbeam.transforms.products.colorize",
    "binary": "maskbeam.transforms.products.binarize",
    "overlay": "maskbeam.transforms.products.overlay",
    "confidence": "maskbeam.transforms.products.confidence",
}


def product_names() -> tuple[str, ...]:
    """The names of all."""
    return tuple(MODULES)


def product(name: str) -> "Product":
    """One by its name."""
    found: Product = import_module(MODULES[name]).PRODUCT
    return found


def products_of(names: Iterable[str]) -> "list[Product]":
    """Several by their names, in the registry's order."""
    wanted = set(names)
    return [product(name) for name in MODULES if name in wanted]
