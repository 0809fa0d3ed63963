"""What can be wrong with one image, and what can be wrong with a whole run."""


class ImageError(Exception):
    """One image cannot be done; it goes to the failures report and everything else goes on.

    Attributes:
        code: A stable upper-case word that scripts may rely on, such as ``UNREADABLE``.
        reason: One sentence for a person. Never holds content of the image or of its record, nor its name.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason

    def __reduce__(self) -> tuple[type["ImageError"], tuple[str, str]]:
        return type(self), (self.code, self.reason)


class RunError(Exception):
    """The run cannot go on, or must not start: a wrong option, model, class table or permission.

    The message names what is wrong, with which value, and what to do about it; it is printed as it is.
    """


class TooManyFailuresError(RunError):
    """So many images fail that the run is stopped early; exit code 3."""


FREED = "ID_FREED"


# The code of a shard, or of a range of one, that storage did not give to its end: one failure for nobody knows how
# many records, so that no limit on failures can allow it.
UNREAD = "SHARD_UNREAD"
