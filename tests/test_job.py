import pytest

from pipeline.job import differences, fingerprint, possible_products
from pipeline.options import PRODUCTS
from transforms.head import Head

ALL = frozenset(PRODUCTS)
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


def test_settings_that_differ_are_named_with_both_values() -> None:
    mine = {"--threshold": 0.5, "classes": "b" * 64, "same": 1}
    stored = {"--threshold": 0.4, "classes": "a", "same": 1}
    assert differences(mine, stored) == ["--threshold was 0.4 and is 0.5", f"classes was a and is {'b' * 57}..."]
    assert differences({"model": "1", "head": "x"}, {"model": "2", "head": "y"}) == ["the model was another file"]
    assert fingerprint(mine) != fingerprint(stored)
    assert fingerprint(dict(reversed(mine.items()))) == fingerprint(mine)
