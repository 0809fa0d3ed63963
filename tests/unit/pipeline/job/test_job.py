import pytest

from maskbeam.pipeline.job.job import possible_products
from maskbeam.transforms.head import Head
from maskbeam.transforms.products.registry import product_names

ALL = frozenset(product_names())
MULTILABEL = Head("multilabel", "channels_last", 3, 3)


@pytest.mark.parametrize(
    ("products", "head", "multilabel", "expected"),
    [
        (ALL, Head("logits", "channels_last", 3, 3), "planes", ALL),
        (ALL, MULTILABEL, "planes", ALL - {"color", "overlay"}),
        (ALL, MULTILABEL, "argmax", ALL),
        (ALL, Head("ids", "channels_last", 1), "planes", ALL - {"confidence"}),
        (frozenset({"color"}), MULTILABEL, "planes", {"color"}),
    ],
)
def test_all_means_what_the_model_can_give(
    products: frozenset[str], head: Head, multilabel: str, expected: frozenset[str]
) -> None:
    assert possible_products(products, head, multilabel) == expected
