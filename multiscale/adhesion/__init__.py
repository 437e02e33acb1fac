"""Adhesion counted once: laws of interfaces measured on the potential, faces of atoms, and audits of who counts what."""
