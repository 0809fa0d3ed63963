"""Imported first by processes that decode: what they and their libraries have to say is nobody's business.

A decoder that crashes may print what it was reading.
"""

import os

from maskbeam.pipeline.terminal.logs import quiet

DEBUG = "MASKBEAM_DEBUG" in os.environ
quiet(debug=DEBUG)
# A decoder needs no GPU, and would take the model's memory there.
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
if not DEBUG:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
