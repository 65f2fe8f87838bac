"""A torch network with its weights, ready to export or to serve as the reference."""

import copy
import hashlib
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.artifact.image import normalised, synthetic_images
from export.artifact.manifest import Weights
from export.common.errors import CheckpointError, UsageError, first_line
from export.common.files import sha256_of
from export.networks.answer import Answer, chosen, two_classes
from export.networks.checkpoint import fit_state_dict, read_state_dict, shortened, without_prefix
from export.networks.libraries import library_of, library_weights
from export.networks.table import ZOO, zoo_entry
from export.networks.zoo import IMAGENET_MEAN, IMAGENET_STD, build_network, meta_network

_STATISTICS_SIZE = (129, 129)
_OTHERS_SIZE = (128, 128)
"""Many networks that are not the zoo's take multiples of 32 only."""
_STATISTICS_IMAGES = 8


class Logits(nn.Module):
    """Any zoo or user's network as (N, 3, H, W) to logits (N, classes, H, W).

    Takes what `answer` says of what the network gives, 'out' of torchvision's dict by default;
    makes one channel two where there are two `classes`; and resizes smaller logits bilinearly,
    half-pixel centres.
    """

    def __init__(
        self, network: nn.Module, answer: Answer | None = None, classes: int | None = None
    ) -> None:
        super().__init__()
        self.network = network
        self.answer = answer or Answer()
        self.classes = classes

    def forward(self, image: Tensor) -> Tensor:
        logits = chosen(self.network(image), self.answer.name)
        if self.classes == 2 and logits.dim() == 4 and logits.shape[1] == 1:
            logits = two_classes(logits, self.answer)
        if logits.shape[-2:] != image.shape[-2:]:
            size = image.shape[-2:]
            logits = F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
        return logits


@dataclass(frozen=True)
class Network:
    """`module` is in eval mode, on the CPU; `weights` says where they came from."""

    module: Logits
    weights: Weights


def load_network(
    model: str | nn.Module,
    weights: str,
    *,
    classes: int,
    output_stride: int | None = None,
    seed: int = 0,
    weights_key: str | None = None,
    answer: Answer | None = None,
) -> Network:
    """Build `model` and fill it with `weights`: a file, "default" or "random".

    A module is copied, with the weights that it has.

    `weights_key` says which, where the file holds several. `answer` says which of the network's
    results is meant.

    Raises UsageError for an unknown model and CheckpointError for weights that do not fit;
    the message then names the zoo model they do fit, if there is one.
    """
    if isinstance(model, nn.Module):
        module, origin = _given_module(model)
        return Network(Logits(module, answer, classes).eval(), origin)
    entry = zoo_entry(model)
    if weights == "random":
        module, origin = _random(model, classes, output_stride, seed)
    elif weights != "default":
        module, origin = _from_file(model, Path(weights), classes, output_stride, weights_key)
    elif library_of(model) is not None:
        module, file = library_weights(model)
        origin = Weights(how="default", file=file.name, sha256=sha256_of(file))
    elif entry is None:
        module = build_network(model, classes, output_stride)
        origin = Weights(how="default")
    else:
        module, origin = _default(model, classes, output_stride)
    return Network(Logits(module, answer, classes).eval(), origin)


def _given_module(model: nn.Module) -> tuple[nn.Module, Weights]:
    try:
        module = copy.deepcopy(model).cpu().float()
    except Exception as error:  # a user's network may hold anything
        raise UsageError(
            f"model {type(model).__name__}: cannot be copied ({first_line(error)})"
        ) from error
    digest = hashlib.sha256()
    for key, value in module.state_dict().items():
        digest.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return module, Weights(how="module", sha256=digest.hexdigest())


def _from_file(
    model: str, path: Path, classes: int, output_stride: int | None, key: str | None
) -> tuple[nn.Module, Weights]:
    state = read_state_dict(path, key)
    module = build_network(model, classes, output_stride)
    prefix = _load(module, state, model, f"checkpoint {path}", classes)
    digest = sha256_of(path)
    return module, Weights(
        how="file", file=path.name, sha256=digest, key=key, prefix=prefix or None
    )


def _default(model: str, classes: int, output_stride: int | None) -> tuple[nn.Module, Weights]:
    enum = ZOO[model].default_weights
    if enum is None:
        raise CheckpointError(
            f"{model} has no default weights; give --weights FILE with a checkpoint from "
            f"{ZOO[model].source}, or --weights random for a dry run"
        )
    module = build_network(model, classes, output_stride)
    file = Path(torch.hub.get_dir(), "checkpoints", Path(enum.url).name)
    _download(enum.url, file)
    _load(module, read_state_dict(file), model, str(enum), classes)
    return module, Weights(how="default", file=file.name, sha256=sha256_of(file))


def _download(url: str, file: Path) -> None:
    """Fetch into torch's cache unless it is there.

    torchvision's own loader would unpickle the file without restriction, so only the download
    is torch's; it checks the digest that is part of the name.
    """
    if file.is_file():
        return
    digest = torch.hub.HASH_REGEX.search(file.name)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        prefix = digest.group(1) if digest else None
        torch.hub.download_url_to_file(url, str(file), prefix, progress=False)
    except (URLError, RuntimeError, OSError) as error:
        raise CheckpointError(
            f"cannot download {url} ({error}); download it elsewhere and give --weights FILE"
        ) from error


def _random(
    model: str, classes: int, output_stride: int | None, seed: int
) -> tuple[nn.Module, Weights]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = build_network(model, classes, output_stride)
        try:
            _set_batch_norm(module, seed, _STATISTICS_SIZE if model in ZOO else _OTHERS_SIZE)
        except Exception as error:  # somebody else's network may raise anything
            shape = "x".join(map(str, (_STATISTICS_IMAGES, 3, *_OTHERS_SIZE)))
            raise UsageError(
                f"model {model}: fails in training on {shape} images ({first_line(error)})"
            ) from error
    return module, Weights(how="random", seed=seed)


def _set_batch_norm(module: nn.Module, seed: int, size: tuple[int, int]) -> None:
    """Set shifts to 1 and running statistics from one forward pass over seeded images.

    With default statistics (mean 0, variance 1) activations of a random ResNet-101 grow
    without bound. With default shifts (0) it is chaotic: a change of 1e-5 in the input becomes
    one of 0.9 % in the logits, so that float rounding alone decides classes. A shift of 1
    keeps most values on the linear side of their ReLU and brings that down to 0.002 %, as in
    trained networks.
    """
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    images = [
        torch.from_numpy(normalised(image, IMAGENET_MEAN, IMAGENET_STD))
        for image in synthetic_images(_STATISTICS_IMAGES, size, seed)
    ]
    for norm in norms:
        norm.momentum = 1.0
        nn.init.ones_(norm.bias)
    with torch.no_grad():
        module.train()(torch.cat(images))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    module.eval()


def _load(
    module: nn.Module, state: dict[str, Tensor], model: str, source: str, classes: int
) -> str:
    """Fill a module; return what the names in `state` had before those of the module."""
    state, prefix = without_prefix(state, module.state_dict())
    odd = [key for key, value in state.items() if not _is_plain(value)]
    if odd:
        raise CheckpointError(
            f"{source}: {shortened(odd)} are sparse, quantized, complex or without values; save "
            "them as dense floats"
        )
    fitted, problems = fit_state_dict(state, module.state_dict())
    if problems:
        advice = _advice(state, model, classes)
        raise CheckpointError(f"{source} does not fit {model}: {'; '.join(problems)}{advice}")
    broken = [key for key, value in fitted.items() if not torch.isfinite(value.float()).all()]
    if broken:
        raise CheckpointError(f"{source}: not finite: {', '.join(broken[:6])}; train it again")
    module.load_state_dict(fitted, strict=False)
    return prefix


def _is_plain(tensor: Tensor) -> bool:
    dense = tensor.layout is torch.strided and not tensor.is_quantized
    return dense and not tensor.is_meta and not tensor.is_complex()


def _advice(state: dict[str, Tensor], model: str, classes: int) -> str:
    """Name the zoo model and class count that `state` does fit.

    The last entry of every zoo state_dict is the classifier's bias, one value per class.
    """
    main = [value for key, value in state.items() if not key.startswith("aux_classifier.")]
    channels = main[-1].shape[0] if main and main[-1].dim() == 1 else classes
    for name in sorted(ZOO, key=lambda candidate: candidate != model):
        try:
            wanted = meta_network(name, channels).state_dict()
            _, problems = fit_state_dict(without_prefix(state, wanted)[0], wanted)
        except (UsageError, ValueError):
            continue
        if not problems:
            count = "" if channels == classes else f" with {channels} classes (--classes FILE)"
            return f"; it fits {name}{count}"
    return "; it fits no model of the zoo"
