import re
from pathlib import Path

CODES = re.compile(
    r'(?:ImageError|_lost)\(\s*(?:shard, [\w.]+, )?"([A-Z_]+)"|code, reason = \(?\s*"([A-Z_]+)"'
    r'|"(HANG|DUPLICATE_ID|ID_FREED)"'
)


def codes_in_sources() -> set[str]:
    texts = (path.read_text() for folder in ("pipeline", "transforms") for path in Path(folder).rglob("*.py"))
    return {code for text in texts for match in CODES.findall(text) for code in match if code}


def test_every_code_is_explained_and_no_other() -> None:
    table = Path("docs/faults.md").read_text().partition("## Codes of images")[2].partition("## Decoders")[0]
    assert set(re.findall(r"^\| `([A-Z_]+)`", table, re.MULTILINE)) == codes_in_sources() - {"CODE"}
