"""The folder of a teacher: the modules of a sentence-transformers folder, or a plain transformers folder.

An unknown module, pooling mode or activation is an error: without it the vectors would differ.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from hpdsearch.common.files import parse_json
from hpdsearch.distillation.teacher.prompts import Prompts, find_family, read_prompts
from hpdsearch.errors import EncoderError

MODULES, CONFIG = "modules.json", "config.json"
HUB_FILES = ["README.md", "*.json", "*.txt", "*.model", "*.safetensors"]
HUB_PICKLES = ["*.json", "*.bin"]
HUB_OTHERS = ["onnx/*", "openvino/*"]  # the same weights in the formats of other runtimes
ACTIVATIONS = {
    "torch.nn.modules.linear.Identity": nn.Identity,
    "torch.nn.modules.activation.Tanh": nn.Tanh,
    "torch.nn.modules.activation.ReLU": nn.ReLU,
    "torch.nn.modules.activation.GELU": nn.GELU,
    "torch.nn.modules.activation.SiLU": nn.SiLU,
    "torch.nn.modules.activation.Sigmoid": nn.Sigmoid,
}
POOLER = "pooler."  # the second output of BERT, which no teacher uses and some checkpoints lack
POOLING_FLAGS = {  # in the order in which sentence-transformers concatenates their vectors
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


class PoolingMode(Enum):
    """The reduction of the token vectors to one vector."""

    CLS = "cls"
    MAX = "max"
    MEAN = "mean"
    MEAN_SQRT_LEN = "mean_sqrt_len_tokens"
    WEIGHTED_MEAN = "weightedmean"
    LAST = "lasttoken"

    def __call__(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Pool token vectors (n, tokens, hidden) to (n, hidden). Tokens whose mask (n, tokens) is 0 are ignored."""
        weights = mask.unsqueeze(-1).to(hidden.dtype)
        if self in (PoolingMode.CLS, PoolingMode.LAST):
            first = mask.argmax(dim=1)
            last = mask.shape[1] - 1 - mask.flip(1).argmax(dim=1)
            row = torch.arange(len(hidden), device=hidden.device)
            return hidden[row, first if self is PoolingMode.CLS else last]
        if self is PoolingMode.MAX:
            return hidden.masked_fill(weights == 0, float("-inf")).max(dim=1).values
        if self is PoolingMode.WEIGHTED_MEAN:
            weights = weights * torch.arange(1, mask.shape[1] + 1, device=mask.device).view(1, -1, 1)
        total = weights.sum(dim=1).clamp(min=1e-9)
        divisor = total.sqrt() if self is PoolingMode.MEAN_SQRT_LEN else total
        return (hidden * weights).sum(dim=1) / divisor


class Normalize(nn.Module):
    """Scales rows to unit length. The name of this class is part of the teacher's hash."""

    def forward(self, x: Tensor) -> Tensor:
        """Scale the rows of x (n, dim) to unit length."""
        return functional.normalize(x)


@dataclass(frozen=True)
class TeacherFolder:
    """The settings of a teacher and its head. The Transformer is opened by `open_transformer`.

    Attributes:
        transformer: folder with the Transformer's config, weights and tokenizer.
        max_tokens: longest input, special tokens included; None to take it from the model and the tokenizer.
        lower_case: whether texts are converted to lower case before the tokenizer.
        prompt: set before every text, which is taken for a document.
        query_prompt: set before every query instead.
        pooling: modes; the vectors of several modes are concatenated.
        pools_prompt: whether the prompt's tokens are pooled.
        head: the modules after pooling, (n, pooled) -> (n, dim).
    """

    transformer: Path
    max_tokens: int | None = None
    lower_case: bool = False
    prompt: str = ""
    query_prompt: str = ""
    pooling: tuple[PoolingMode, ...] = (PoolingMode.MEAN,)
    pools_prompt: bool = True
    head: nn.Sequential = field(default_factory=nn.Sequential)

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that determine the vectors, as JSON values. The keys are part of the teacher's hash."""
        return {
            "lower_case": self.lower_case,
            "prompt": self.prompt,
            "pooling": [mode.value for mode in self.pooling],
            "pools_prompt": self.pools_prompt,
            "head": [type(module).__name__ for module in self.head],
        }


def read_teacher_folder(folder: Path, prompts: Prompts | None = None, *, name: str = "") -> TeacherFolder:
    """Read a sentence-transformers folder, or a plain transformers folder (mean pooling).

    Args:
        folder: of the teacher.
        prompts: those that are not given are the folder's, else those of the model's family.
        name: of the model, which tells its family; "" for that of the folder.

    Raises:
        EncoderError: the folder is neither, or it names an unknown module, pooling mode or activation.
    """
    prompts = prompts or Prompts()
    name = name or folder.name
    if not (folder / MODULES).is_file():
        if not (folder / CONFIG).is_file():
            raise EncoderError(f"{folder}: expected {MODULES} or {CONFIG} of a teacher, found neither")
        return _with_prompts(TeacherFolder(transformer=folder), prompts, name)
    modules = [(_module_class(entry["type"]), folder / entry["path"]) for entry in _read_json(folder / MODULES)]
    kinds = [kind for kind, _ in modules]
    if kinds[:2] != ["Transformer", "Pooling"] or not set(kinds[2:]) <= {"Dense", "Normalize"}:
        expected = "Transformer, Pooling, then Dense and Normalize modules"
        raise EncoderError(f"{folder / MODULES}: expected {expected}, got {', '.join(kinds)}")
    (_, transformer), (_, pooling), *rest = modules
    sizes: dict[str, Any] = next((_read_json(path) for path in sorted(transformer.glob("sentence_*_config.json"))), {})
    general_path = folder / "config_sentence_transformers.json"
    general = _read_json(general_path) if general_path.is_file() else {}
    pooling_config = _read_json(pooling / CONFIG)
    parts = TeacherFolder(
        transformer=transformer,
        max_tokens=sizes.get("max_seq_length"),
        lower_case=bool(sizes.get("do_lower_case")),
        pooling=_read_pooling(pooling / CONFIG, pooling_config),
        pools_prompt=pooling_config.get("include_prompt", True),
        head=nn.Sequential(*(part for kind, path in rest for part in _open_head_modules(kind, path))),
    )
    return _with_prompts(parts, prompts.fill(read_prompts(general, general_path)), name)


def _with_prompts(parts: TeacherFolder, prompts: Prompts, name: str) -> TeacherFolder:
    """Return a folder with the prompts; those that are not given are those of the family, if it is known."""
    path = parts.transformer / CONFIG
    family = find_family(name, _read_json(path).get("model_type", "") if path.is_file() else "")
    found = prompts.fill(family.prompts) if family else prompts
    return replace(parts, prompt=found.document or "", query_prompt=found.query or "")


def find_teacher_folder(name_or_folder: str | Path) -> Path:
    """Return the folder of a path, or download the model of that name from the Hugging Face hub.

    Raises:
        EncoderError: there is no such folder or model, or the hub cannot be reached.
    """
    folder = Path(name_or_folder).expanduser()
    if folder.is_dir():
        return folder
    name = str(name_or_folder)
    if isinstance(name_or_folder, Path) or name.startswith(("/", ".", "~")) or name.count("/") > 1:
        raise EncoderError(f"{name}: there is no such folder; give a teacher's folder or its name on the hub")
    from huggingface_hub import snapshot_download

    try:
        found = Path(snapshot_download(name, allow_patterns=HUB_FILES, ignore_patterns=HUB_OTHERS))
        if not any(found.rglob("*.safetensors")):
            snapshot_download(name, allow_patterns=HUB_PICKLES, ignore_patterns=HUB_OTHERS)
    except Exception as error:  # the hub's client raises a dozen types without a common base class
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise EncoderError(
            f"{name}: expected a folder or a model on the Hugging Face hub, found neither ({reason}); give a teacher's "
            'folder or, while online, a full name such as "sentence-transformers/all-mpnet-base-v2"'
        ) from error
    return found


def open_transformer(folder: Path) -> tuple[nn.Module, Any]:
    """Open the model, in float32, and the tokenizer with transformers.

    Raises:
        EncoderError: weights are missing, or the tokenizers library cannot run the tokenizer.
        Exception: any error of transformers for files that it cannot read.
    """
    with _quiet_transformers():
        config = transformers.AutoConfig.from_pretrained(folder)
        kind = transformers.AutoModelForTextEncoding if config.is_encoder_decoder else transformers.AutoModel
        model, report = kind.from_pretrained(folder, attn_implementation="eager", output_loading_info=True)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    if missing := sorted(name for name in report["missing_keys"] if not name.startswith(POOLER)):
        raise EncoderError(f"{folder}: the weights of {len(missing)} tensors are missing, the first is {missing[0]}")
    if not hasattr(tokenizer, "backend_tokenizer"):
        raise EncoderError(f"{folder}: expected a tokenizer of the tokenizers library (tokenizer.json), got a slow one")
    return model.float().eval(), tokenizer


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Disable the reports of transformers on unused weights, and its progress bars."""
    report: Any = transformers.utils.logging
    verbosity, bars = report.get_verbosity(), report.is_progress_bar_enabled()
    report.set_verbosity_error()
    report.disable_progress_bar()
    try:
        yield
    finally:
        report.set_verbosity(verbosity)
        if bars:
            report.enable_progress_bar()


def _module_class(type_: str) -> str:
    """Return the class name of a module of sentence-transformers, and the full name of any other."""
    return type_.rpartition(".")[2] if type_.startswith("sentence_transformers.") else type_


def _read_pooling(path: Path, config: dict[str, Any]) -> tuple[PoolingMode, ...]:
    """Read the key pooling_mode (one name or several), or the older flags, of which several may be set."""
    names = config.get("pooling_mode")
    if names is None:
        flags = [key for key, value in config.items() if key.startswith("pooling_mode_") and value]
        known = [flag for flag in POOLING_FLAGS if flag in flags]
        names = [POOLING_FLAGS[flag] for flag in known] + [flag for flag in flags if flag not in known]
    names = [names] if isinstance(names, str) else names or ["mean"]
    modes = {mode.value: mode for mode in PoolingMode}
    if unknown := [name for name in names if name not in modes]:
        raise EncoderError(f"{path}: expected pooling among {', '.join(modes)}, got {unknown[0]}")
    return tuple(modes[name] for name in names)


def _open_head_modules(kind: str, path: Path) -> list[nn.Module]:
    """Open the torch modules of a Dense or Normalize module."""
    if kind == "Normalize":
        return [Normalize()]
    config = _read_json(path / CONFIG)
    name = config.get("activation_function", "torch.nn.modules.activation.Tanh")
    if name not in ACTIVATIONS:
        known = ", ".join(ACTIVATIONS)
        raise EncoderError(f"{path / CONFIG}: expected an activation among {known}, got {name}")
    if config.get("use_residual") or config.get("module_input_name", "sentence_embedding") != "sentence_embedding":
        raise EncoderError(f"{path / CONFIG}: expected a plain layer on the pooled vector, got {config}")
    linear = nn.Linear(config["in_features"], config["out_features"], bias=config.get("bias", True))
    if (stored := path / "model.safetensors").is_file():
        weights = load_file(stored)
    else:
        weights = torch.load(path / "pytorch_model.bin", map_location="cpu", weights_only=True)
    linear.load_state_dict({key.removeprefix("linear."): weight.float() for key, weight in weights.items()})
    return [linear, ACTIVATIONS[name]()]


def _read_json(path: Path) -> Any:
    try:
        return parse_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise EncoderError(f"{path}: expected a JSON file of a teacher: {error}") from error
