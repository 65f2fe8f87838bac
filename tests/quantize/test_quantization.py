from pathlib import Path

import pytest

from export.artifact import Artifact
from export.errors import ArtifactError, UsageError
from quantize.quantization import Settings, quantize
from validate.samples import Samples


@pytest.mark.parametrize(
    ("precision", "settings", "message"),
    [
        ("int4", Settings(), "did you mean 'int8'"),
        ("int8", Settings(target="cpuu"), "did you mean 'cpu'"),
        ("int8", Settings(range="min-max"), "did you mean 'minmax'"),
        ("int8", Settings(added=("equalise",)), "did you mean 'equalize'"),
        ("int8", Settings(skipped=("gtpq",)), "did you mean 'gptq'"),
        ("int8", Settings(added=("gptq",), skipped=("gptq",)), "choose one of them"),
        ("fp16", Settings(io="fp61"), "did you mean 'fp16'"),
    ],
)
def test_unknown_names_suggest_the_nearest_and_write_nothing(
    tiny: Artifact,
    samples: Samples,
    tmp_path: Path,
    precision: str,
    settings: Settings,
    message: str,
) -> None:
    with pytest.raises(UsageError, match=message):
        quantize(tiny, precision, tmp_path, samples=samples, settings=settings)
    assert not list(tmp_path.iterdir())


def test_only_fp32_artifacts_are_quantized(
    tiny: Artifact, samples: Samples, tmp_path: Path
) -> None:
    half = quantize(tiny, "fp16", tmp_path / "half", samples=samples)
    with pytest.raises(UsageError, match="already fp16"):
        quantize(half, "int8", tmp_path / "out", samples=samples)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_found_before_the_work(
    tiny: Artifact, samples: Samples, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="is a file"):
        quantize(tiny, "int8", tmp_path / "file" / "out", samples=samples)
