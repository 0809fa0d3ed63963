"""Errors of a model, in one line: its layers' libraries wrap them into pages of configuration and stack traces."""

import re

from maskbeam.transforms.errors import RunError

# Keras prints its layers' messages in bold.
_ESCAPE = re.compile(r"\x1b\[[\d;]*[A-Za-z]")
# Both versions of Keras put the layer before a message, and all that it was called with behind it.
_LAYER = re.compile(
    r"Exception encountered when calling (.*?)\.?\n\n(.*?)\n\n(?:Arguments|Call arguments) received by ", re.S
)
# The last line of a stack that TensorFlow writes into a message, and what follows the stack of a graph's node.
_IN_USER_CODE = re.compile(r"in user code:.*^\s+(\w+(?:Error|Exception)): (.*)", re.S | re.M)
_NODE = re.compile(r"^Graph execution error:\s*(?:(?:Detected at|File |<)[^\n]*\s*)*(.*)", re.S)
# Where in a graph it was, in TensorFlow's words.
_PLACE = re.compile(r"\{\{function_node .*?\}\}|\[\[\{\{node .*|\[Op:\w+\].*", re.S)
_LONGEST = 200


def model_failure(error: Exception) -> RunError:
    """The error of a model that does not work, whatever it is that it raised."""
    if isinstance(error, RunError):
        return error
    remedy = "; a Lambda's function must import inside itself what it uses" if isinstance(error, NameError) else ""
    if type(error).__name__ == "ResourceExhaustedError":  # TensorFlow's, which is not imported here
        remedy = "; this machine has no memory for that: export the model for smaller images"
    return RunError(f"the model fails on a probe batch: {reason_of(error)}{remedy}")


def reason_of(error: Exception) -> str:
    """The kind and the cause of what a model raised, such as `NameError: name 'tf' is not defined`, in one line."""
    kind, text = type(error).__name__, _ESCAPE.sub("", str(error))
    if found := _LAYER.search(text):
        text = f"{found[2]} (in {found[1]})"
    elif found := _IN_USER_CODE.search(text):
        kind, text = found[1], found[2]
    elif found := _NODE.match(text):
        text = found[1]
    line = "".join(letter if letter.isprintable() else " " for letter in _PLACE.sub("", text))
    return f"{kind}: {_cut(' '.join(line.split()))}".rstrip(": ")


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST].rstrip() + "..."
