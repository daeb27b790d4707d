"""Numeric cores: arrays in, arrays out, compiled by numba."""
