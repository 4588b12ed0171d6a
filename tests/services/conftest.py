"""The tests of this folder use real services."""

from tests.services.fixtures import services

__all__ = ["services"]
