"""The HTTP toolbox: what every endpoint and every call outward is made with."""
