"""A local Hugging Face Hub for the tests: real clients, real HTTP, repositories on disk, faults on demand."""

from hub_server.repositories import Commit, File, Repository
from hub_server.server import HubServer

__all__ = ["Commit", "File", "HubServer", "Repository"]
