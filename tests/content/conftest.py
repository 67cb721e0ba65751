"""The house of consent: content is a part of it."""

from tests.consent.conftest import clock, house, laptop, network, place

__all__ = ["clock", "house", "laptop", "network", "place"]
