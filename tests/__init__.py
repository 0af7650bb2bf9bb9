"""Tests mirror the packages; what several of them need is in support/ and in conftest.py."""
