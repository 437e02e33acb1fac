"""Cracks in crystals: lattices in the crack's frame, measured constants, watched bonds, and atoms within a mesh."""
