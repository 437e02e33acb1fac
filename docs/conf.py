"""Sphinx configuration."""

import re
from importlib import util

import multiscale

project = "multiscale-coupling"
author = "The multiscale-coupling developers"
copyright = author
release = version = multiscale.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode", "sphinx.ext.mathjax"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "examples"]
html_theme = "alabaster"
html_theme_options = {
    "description": "Quantum, machine-learned and finite-element matter in one run",
    "page_width": "64rem",
}
html_static_path: list[str] = []
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the numpydoc sections say types with shapes and units
# The pages can be built where an optional library is not installed.
heavy = [
    "torch",
    "vesin",
    "tblite",
    "pyscf",
    "dolfinx",
    "petsc4py",
    "mpi4py",
    "ufl",
    "basix",
    "ffcx",
    "gmsh",
    "meshio",
    "mace",
]
autodoc_mock_imports = [name for name in heavy if util.find_spec(name) is None]
napoleon_numpy_docstring, napoleon_google_docstring = True, False
napoleon_custom_sections = [("Class attributes", "Attributes")]
napoleon_use_ivar = True  # attributes are described once, in the class
# Shapes such as (n_q, 3) are text, not references to the attribute of that name.
suppress_warnings = ["config.cache", "ref.python"]


def escape_bars(app, what, name, obj, options, lines):
    """Norms such as |x| in docstrings are text, not reStructuredText's substitutions."""
    for k, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...")):
            pieces = re.split(r"(``.*?``)", line)
            lines[k] = "".join(p if p.startswith("``") else p.replace("|", r"\|") for p in pieces)


def setup(app):
    # After napoleon, which reads the same lines at the default priority of 500.
    app.connect("autodoc-process-docstring", escape_bars, priority=600)
