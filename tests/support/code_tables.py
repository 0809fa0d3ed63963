"""Tables of failure codes in the documents, made of the codes: `python -m tests.support.code_tables` writes them."""

import re
from pathlib import Path

from maskbeam.transforms.errors import Code

DOCS = Path(__file__).parents[2] / "docs"
ROWS = re.compile(r"(?:^\| `[A-Z_]+` \|.*\n)+", re.MULTILINE)
TABLES = {
    "faults.md": "".join(f"| `{code}` | {code.record} | {code.helps} |\n" for code in Code),
    "formats.md": "".join(f"| `{code}` | {code.wrong} |\n" for code in Code),
}


def rows_of(text: str) -> str:
    """The rows of the one table of a document whose first column are codes."""
    (rows,) = (found[0] for found in ROWS.finditer(text) if "`UNREADABLE`" in found[0])
    return rows


def main() -> None:
    for name, table in TABLES.items():
        text = (DOCS / name).read_text()
        (DOCS / name).write_text(text.replace(rows_of(text), table))


if __name__ == "__main__":
    main()
