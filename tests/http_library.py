"""The library with which huggingface_hub speaks HTTP: httpx, later httpx2."""

import importlib

from huggingface_hub.errors import HTTPError

httpx = importlib.import_module(HTTPError.__module__)
