"""Names of references made of ids: `gtFine/{id}_labelIds.png`, and `{id-_leftImg8bit}`, which drops an ending."""

import re
from dataclasses import dataclass
from functools import cached_property

from maskbeam.pipeline.inputs.ids import encode_id
from maskbeam.pipeline.storage import absolute, join
from maskbeam.transforms.errors import RunError

_ID = re.compile(r"\{id(?:-([^{}]+))?\}")


def is_template(word: str) -> bool:
    """True of a word with braces, in which the image's id stands."""
    return "{" in word


@dataclass(frozen=True)
class Template:
    """Names of references.

    Attributes:
        root: The folder that no name leaves, whatever an id is.
        below: Paths below it, with `{id}` or `{id-ENDING}` in them.
    """

    root: str
    below: str

    @classmethod
    def parse(cls, word: str, flag: str) -> "Template":
        """The template that a person wrote.

        Raises:
            RunError: It has no id, or other braces.
        """
        if not _ID.search(word) or {"{", "}"} & set(_ID.sub("", word)):
            raise RunError(
                f"{flag} {word}: braces hold the image's id, as in labels/{{id}}.png, or in "
                "labels/{id-_leftImg8bit}.png, which drops this ending of it"
            )
        if any(part in ("", ".", "..") for part in word[word.index("{") :].split("/")):
            raise RunError(f"{flag} {word}: behind the id a path goes down only; write it without . and ..")
        before = word[: word.index("{")].rpartition("/")[0]
        root = absolute(before or ("/" if word.startswith("/") else "."))
        return cls(root.rstrip("/") or "/", word[len(before) + bool(before or word.startswith("/")) :])

    def uri_of(self, image_id: str) -> str:
        """The name of an image's reference.

        An id that would lead out of the folder, or that has an empty component, stands encoded as in outputs.
        """
        try:
            return join(self.root, self._with(image_id))
        except ValueError:
            return join(self.root, self._with(encode_id(image_id)))

    def id_of(self, uri: str) -> str | None:
        """The id whose reference has this name; None where no id has."""
        match = self._pattern.fullmatch(uri.removeprefix(self.root.rstrip("/") + "/"))
        if not match:
            return None
        ending = next(_ID.finditer(self.below))[1] or ""
        return next((each for each in (match[1] + ending, match[1]) if self.uri_of(each) == uri), None)

    def _with(self, image_id: str) -> str:
        return _ID.sub(lambda match: image_id.removesuffix(match[1] or ""), self.below)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        plain = _ID.split(self.below)[::2]
        return re.compile("(.+)".join([re.escape(plain[0]), ".+".join(map(re.escape, plain[1:]))]), re.DOTALL)
