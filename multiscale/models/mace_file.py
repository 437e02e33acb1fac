"""MACE modules of mace-torch to and from files that hold numbers and words only.

    module  ⇄  NAME.json (constructor arguments, words, hashes)  +  NAME.safetensors (weights)

Nothing in the two files is executed: the classes are looked up by name in mace-torch, and whatever decides a number is compared with
a hash before it is used: the weights, the constructor's arguments, and the words that say what the two are (:data:`HASHED`). The name
and the provenance are free to edit. A pickled checkpoint, on the contrary, runs whatever its author put into it.

Files of the first format, which had no hash of the words, are read too; the second is written.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from ..lazy import REMEDIES
from ..output import atomic, plain
from ..types import MultiscaleError, missing

_UNSAFE = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"


@contextlib.contextmanager
def _quiet_and_safe() -> Iterator[None]:
    """Hush what mace and e3nn print, and undo that mace makes ``torch.load`` unpickle anything, for the whole process."""
    before = os.environ.get(_UNSAFE)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        if before is None:
            os.environ.pop(_UNSAFE, None)
        else:
            os.environ[_UNSAFE] = before


try:
    with _quiet_and_safe():
        # mace first: e3nn alone cannot read its own constants with torch ≥ 2.6.
        import mace
        from e3nn import o3
        from mace import modules
except ImportError as error:  # pragma: no cover - the environment of the tests has it
    raise missing("mace", "A MACE model", REMEDIES["mace"]) from error

try:
    from safetensors import SafetensorError
    from safetensors.torch import load as read_tensors
    from safetensors.torch import save as write_tensors
except ImportError as error:  # pragma: no cover - the environment of the tests has it
    raise missing("safetensors", "A MACE model", REMEDIES["safetensors"]) from error

FORMAT, FIRST_FORMAT = "multiscale-mace-2", "multiscale-mace-1"
#: The words under a hash of their own, in the second format.
HASHED = ("format", "class", "dtype", "sha256", "head", "elements", "cutoff")
_ALL = {*HASHED, "constructor_sha256", "name", "provenance", "constructor"}
DTYPES = {"float32": torch.float32, "float64": torch.float64}
MODELS = {"MACE": modules.MACE, "ScaleShiftMACE": modules.ScaleShiftMACE}


def constructor(module: Any) -> dict[str, Any]:
    """The arguments, as JSON takes them, that a MACE module was built with; read off the module itself."""
    interactions, products, radial = module.interactions, module.products, module.radial_embedding
    heads = list(getattr(module, "heads", None) or ["Default"])
    last = products[-1].linear.irreps_out
    hidden = interactions[1].node_feats_irreps if len(interactions) > 1 else products[0].linear.irreps_out
    scalars_only = len(interactions) == 1 or str(last) == str(hidden[0])
    transform = dict(radial.named_children()).get("distance_transform")
    edge_irreps = getattr(module, "edge_irreps", None)
    arguments: dict[str, Any] = {
        "r_max": float(module.r_max),
        "num_bessel": int(radial.out_dim),
        "num_polynomial_cutoff": int(radial.cutoff_fn.p),
        "max_ell": int(module.spherical_harmonics.irreps_out.lmax),
        "interaction_cls": type(interactions[-1]).__name__,
        "interaction_cls_first": type(interactions[0]).__name__,
        "num_interactions": len(interactions),
        "num_elements": len(module.atomic_numbers),
        "hidden_irreps": str(hidden),
        "atomic_energies": module.atomic_energies_fn.atomic_energies.tolist(),
        "avg_num_neighbors": float(interactions[0].avg_num_neighbors),
        "atomic_numbers": [int(z) for z in module.atomic_numbers],
        "correlation": [int(p.symmetric_contractions.contractions[0].correlation) for p in products],
        "pair_repulsion": "pair_repulsion_fn" in dict(module.named_children()),
        "apply_cutoff": bool(getattr(radial, "apply_cutoff", True)),
        "use_reduced_cg": bool(getattr(module, "use_reduced_cg", False)),
        "use_so3": bool(getattr(module, "use_so3", False)),
        "use_agnostic_product": bool(getattr(products[0], "use_agnostic_product", False)),
        "use_last_readout_only": bool(getattr(module, "use_last_readout_only", False)),
        "distance_transform": type(transform).__name__.removesuffix("Transform") if transform is not None else "None",
        "edge_irreps": None if edge_irreps is None else str(edge_irreps),
        "use_edge_irreps_first": bool(getattr(module, "use_edge_irreps_first", False)),
        "radial_MLP": [int(n) for n in interactions[0].conv_tp_weights.hs[1:-1]],
        "radial_type": {"BesselBasis": "bessel", "GaussianBasis": "gaussian", "ChebychevBasis": "chebyshev"}[
            type(radial.bessel_fn).__name__
        ],
        "heads": heads,
        "keep_last_layer_irreps": not scalars_only,
    }
    if type(module).__name__ == "ScaleShiftMACE":
        scale_shift = module.scale_shift
        arguments |= {
            "atomic_inter_scale": scale_shift.scale.tolist(),
            "atomic_inter_shift": scale_shift.shift.tolist(),
        }
    return arguments | _readout(module, len(heads))


def _readout(module: Any, n_heads: int) -> dict[str, Any]:
    """The arguments of the non-linear readout, which only models of several layers have."""
    if len(module.interactions) == 1:
        return {"MLP_irreps": "1x0e", "gate": "None", "readout_cls": "NonLinearReadoutBlock"}
    readout = module.readouts[-1]
    irreps = o3.Irreps([(mul // n_heads, ir) for mul, ir in readout.hidden_irreps])
    acts = [act.f for act in readout.non_linearity.acts if act is not None]
    names = [name for name, gate in modules.gate_dict.items() if acts and gate is acts[0]]
    return {
        "MLP_irreps": str(irreps),
        "gate": names[0] if names else "None",
        "readout_cls": type(readout).__name__,
    }


def build(kind: str, arguments: Mapping[str, Any], dtype: torch.dtype = torch.float64, seed: int = 0) -> Any:
    """A MACE module of random weights, from arguments such as :func:`constructor` gives."""
    known = {**modules.interaction_classes, **modules.readout_classes}
    given = dict(arguments)
    for name in ("hidden_irreps", "MLP_irreps", "edge_irreps"):
        if given.get(name) is not None:
            given[name] = o3.Irreps(given[name])
    for name in ("interaction_cls", "interaction_cls_first", "readout_cls"):
        if name in given:
            given[name] = known[given[name]]
    given["gate"] = modules.gate_dict[given["gate"]]
    before = torch.get_default_dtype()
    try:
        torch.set_default_dtype(dtype)
        # The caller's random numbers go on as if nothing had been drawn.
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            warnings.simplefilter("ignore")
            torch.manual_seed(seed)
            return MODELS[kind](**given)
    finally:
        torch.set_default_dtype(before)


def paths(stem: str | os.PathLike[str]) -> tuple[Path, Path]:
    """The JSON file and the weights that belong to a stem, a folder or either file."""
    path = Path(stem)
    if path.is_dir():
        path = path / "model"
    if path.suffix in (".json", ".safetensors"):
        path = path.with_suffix("")
    return path.with_name(path.name + ".json"), path.with_name(path.name + ".safetensors")


def digest(arguments: Mapping[str, Any]) -> str:
    """The sha256 of words and numbers, independent of how the JSON is laid out."""
    return hashlib.sha256(json.dumps(arguments, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def write(module: Any, stem: str | os.PathLike[str], words: Mapping[str, Any]) -> tuple[Path, Path]:
    """Write a module as ``STEM.json`` and ``STEM.safetensors``, after checking that they give the module back."""
    kind, dtype = type(module).__name__, next(module.parameters()).dtype
    try:
        arguments = json.loads(json.dumps(constructor(module)))
    except (LookupError, TypeError, ValueError, AttributeError) as e:
        raise MultiscaleError(
            f"This {kind} has parts that its files cannot describe ({type(e).__name__}: {e}); keep it as a mace-torch "
            "checkpoint"
        ) from e
    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in module.state_dict().items()}
    _restore(kind, arguments, dtype, state, f"This {kind}")
    described, weights = paths(stem)
    data = write_tensors(state)
    said = {
        "format": FORMAT,
        "class": kind,
        "dtype": str(dtype).removeprefix("torch."),
        "sha256": hashlib.sha256(data).hexdigest(),
        "constructor_sha256": digest(arguments),
        "mace_version": mace.__version__,
        **plain(words),
    }
    said |= {"words_sha256": digest({name: said[name] for name in HASHED}), "constructor": arguments}
    text = json.dumps(said, indent=1, ensure_ascii=False) + "\n"
    # The JSON last: weights without it, or with that of an older model, are refused by its hash.
    with atomic(weights, "wb") as file:
        file.write(data)
    with atomic(described) as file:
        file.write(text)
    return described, weights


def read(stem: str | os.PathLike[str]) -> tuple[Any, dict[str, Any]]:
    """The module and the words of ``STEM.json`` and ``STEM.safetensors``.

    Raises
    ------
    MultiscaleError
        If a file is missing, is none of ours, lacks a word, does not have the hashes, or does not fit the installed mace-torch.
    """
    described, weights = paths(stem)
    absent = [str(p) for p in (described, weights) if not p.is_file()]
    if absent:
        raise MultiscaleError(
            f"A MACE model was asked for at {stem}, but {' and '.join(absent)} is not there; give the stem that "
            "Mace.save was given, or Mace.from_checkpoint a mace-torch .model file"
        )
    words = _words(described)
    kind, arguments, dtype = words["class"], words["constructor"], DTYPES[words["dtype"]]
    data = weights.read_bytes()
    if hashlib.sha256(data).hexdigest() != words["sha256"]:
        raise MultiscaleError(
            f"{weights} does not have the sha256 that {described.name} gives; it is damaged or belongs to another "
            "model, copy both files again"
        )
    try:
        state = read_tensors(data)
    except SafetensorError as e:
        raise MultiscaleError(f"{weights} is no safetensors file ({e}); write it again with Mace.save") from e
    return _restore(kind, arguments, dtype, state, str(described)), words


def _words(described: Path) -> dict[str, Any]:
    """What the JSON says, all of it there and as it was written."""
    try:
        words: Any = json.loads(described.read_text(encoding="utf-8"))
    except ValueError:
        words = None
    if not isinstance(words, dict) or words.get("format") not in (FORMAT, FIRST_FORMAT):
        raise MultiscaleError(
            f"{described} does not describe a MACE model in the format {FORMAT} or {FIRST_FORMAT}; give a file that Mace.save has written"
        )
    hashes = {"constructor_sha256": "constructor"}
    if words["format"] == FORMAT:
        hashes["words_sha256"] = f"{', '.join(HASHED[:-1])} or {HASHED[-1]}"
    absent = sorted((_ALL | hashes.keys()) - words.keys())
    if absent:
        raise MultiscaleError(
            f"{described} lacks {', '.join(absent)}; it has been edited or damaged, copy both files again"
        )
    if str(words["class"]) not in MODELS or str(words["dtype"]) not in DTYPES:
        raise MultiscaleError(
            f"{described} does not describe a MACE model: it gives the class {words['class']!r} in {words['dtype']!r}, which must be "
            f"{' or '.join(MODELS)} in {' or '.join(DTYPES)}; give a file that Mace.save has written"
        )
    for name, what in hashes.items():
        said = words["constructor"] if name == "constructor_sha256" else {key: words[key] for key in HASHED}
        if words[name] != digest(said):
            raise MultiscaleError(
                f"{described} has a {what} that does not agree with its {name}; it has been edited or damaged, copy both files again"
            )
    return words


def _restore(kind: str, arguments: Mapping[str, Any], dtype: torch.dtype, state: Mapping[str, Any], who: str) -> Any:
    """A module of these arguments with these weights."""
    try:
        module = build(kind, arguments, dtype)
        module.load_state_dict(state)
    except (LookupError, TypeError, ValueError, RuntimeError, AttributeError) as e:
        raise MultiscaleError(
            f"{who} cannot be rebuilt by mace-torch {mace.__version__} from its constructor's arguments "
            f"({type(e).__name__}: {str(e).splitlines()[0]}); use the version of mace-torch it was made with, or keep it "
            "as a mace-torch checkpoint"
        ) from e
    return module


def unpickle(path: str | os.PathLike[str]) -> Any:
    """What a mace-torch checkpoint contains; reading it executes code of the file's author."""
    if not Path(path).is_file():
        raise MultiscaleError(f"{path} is not there; give the path of a mace-torch .model file")
    try:
        with _quiet_and_safe():
            return torch.load(path, map_location="cpu", weights_only=False)
    except Exception as e:  # unpickling a stranger's file fails in any way it likes
        raise MultiscaleError(
            f"{path} cannot be read as a mace-torch checkpoint ({type(e).__name__}: {str(e).splitlines()[0]}); give the "
            ".model file that training wrote, not a compiled or a training checkpoint"
        ) from e
