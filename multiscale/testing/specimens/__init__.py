"""Specimens of the shipped regions, one file per heavy library; found by the entry points ``multiscale.regions``."""
