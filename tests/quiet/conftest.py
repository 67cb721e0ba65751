"""The house of consent: quiet hours are a part of it."""

from tests.consent.conftest import clock, house, laptop, network, place

__all__ = ["clock", "house", "laptop", "network", "place"]
