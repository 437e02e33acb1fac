"""Continuum mechanics: meshes, material laws, crack fields; DOLFINx enters through ``dolfinx_compat`` only."""
