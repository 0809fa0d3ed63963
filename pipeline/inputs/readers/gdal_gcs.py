"""GDAL's settings for objects on Google Cloud Storage: the endpoint and credentials of our own client, and retries.

An object is opened by one request, which fetches its head; nothing is listed, and no metadata server is asked. So of
what may lie beside it only a mask is looked for, in `mask_beside.py`; `.aux.xml` and world files count for files at
hand. What was fetched is forgotten when a file is closed, for GDAL knows nothing of generations: who reads
compares them. Nor does it hold parts against a checksum, which Google keeps of whole objects only.
"""

import os
import threading
from typing import Any

from maskbeam.pipeline.storage.gcs_client import client, is_anonymous
from maskbeam.pipeline.storage.retry import RetryPolicy

# Enough for the directory of a COG, or of a scene of 10,980 a side in tiles of 256.
_HEAD_BYTES = 64 << 10
# The pauses double and more: half a minute in all.
_RETRIES = 6
_refreshing = threading.Lock()


def gcs_settings() -> dict[str, Any]:
    """The settings, by GDAL's names.

    Raises:
        Denied: The credentials that were found cannot be used.
        Unavailable: They cannot be renewed.
    """
    policy = RetryPolicy()
    settings: dict[str, Any] = {
        "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
        "GDAL_INGESTED_BYTES_AT_OPEN": str(_HEAD_BYTES),
        "CPL_VSIL_CURL_USE_HEAD": "NO",
        "CPL_VSIL_CURL_NON_CACHED": "/vsigs/",
        # It finds none of its own: with these headers a request is ours.
        "GS_NO_SIGN_REQUEST": "YES",
        "GDAL_HTTP_MAX_RETRY": str(_RETRIES),
        "GDAL_HTTP_RETRY_DELAY": str(policy.first_pause),
        "GDAL_HTTP_CONNECTTIMEOUT": str(int(policy.stall)),
        "GDAL_HTTP_LOW_SPEED_TIME": str(int(policy.stall)),
        "GDAL_HTTP_LOW_SPEED_LIMIT": "1",
    }
    endpoint = os.environ.get("STORAGE_EMULATOR_HOST")
    if endpoint:
        settings["CPL_GS_ENDPOINT"] = (endpoint if "://" in endpoint else f"http://{endpoint}").rstrip("/") + "/"
    if not is_anonymous():
        settings["GDAL_HTTP_HEADERS"] = f"Authorization: Bearer {_token()}"
    return settings


def _token() -> str:
    """The token of our client's credentials, renewed where it is about to expire."""
    from google.auth.transport.requests import Request

    from maskbeam.pipeline.storage.gcs_errors import READ, call

    credentials = client()._credentials
    with _refreshing:
        if not credentials.valid:
            call(lambda _: credentials.refresh(Request()), place="gs://", rights=READ, policy=RetryPolicy())
        return str(credentials.token)
