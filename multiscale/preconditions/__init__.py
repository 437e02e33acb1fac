"""Preconditions of mixing two levels, computed and printed before a run, with gates."""

from .buffer import buffer_convergence
from .bulk import Bulk, Crystal, bulk_match, bulk_of, cluster_match
from .crossing import Crossing, Edges, crossings, group_rows, jump_row
from .examine import examine, ghost_row
from .table import Gates, Preconditions, Row, judged
from .zone import Mixing, Zone, examine_zone, interface_numbers, mixings

__all__ = [
    "Bulk",
    "Crossing",
    "Crystal",
    "Edges",
    "Gates",
    "Mixing",
    "Preconditions",
    "Row",
    "Zone",
    "buffer_convergence",
    "bulk_match",
    "bulk_of",
    "cluster_match",
    "crossings",
    "examine",
    "examine_zone",
    "ghost_row",
    "group_rows",
    "interface_numbers",
    "judged",
    "jump_row",
    "mixings",
]
