"""Names as people and their systems make them, in every path of a run; and its files' modes."""

import os
import shutil
import stat
from pathlib import Path

import pytest

from export.common.files import sha256_of
from tests.faults.job import Job, contents, ended

Undisturbed = tuple[dict[str, bytes], float]
ODD = "sp ace 'q\" $HOME;#&日本é😀"
LONG = f"{'ä' * 127}x"
"""255 bytes, as long as a name may be."""


def _tree(folder: Path) -> dict[str, str]:
    return {str(file): sha256_of(file) for file in folder.rglob("*") if file.is_file()}


@pytest.mark.slow
@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_a_run_among_odd_names(
    source: Path, undisturbed: Undisturbed, tmp_path: Path, umask: int
) -> None:
    """Inputs are read-only and stay as they are; what is written is as the umask says."""
    odd = shutil.copytree(source, tmp_path / ODD / LONG)
    images = odd / "voc/ImageSets/Segmentation/val.txt"
    first = images.read_text().split()[0]
    longest = "i" * 251  # and .jpg
    for kind, end in (("JPEGImages", "jpg"), ("SegmentationClass", "png")):
        (odd / f"voc/{kind}/{first}.{end}").rename(odd / f"voc/{kind}/{longest}.{end}")
    images.write_text(images.read_text().replace(first, longest))
    for path in [odd, *odd.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = _tree(odd)
    job = Job(odd, tmp_path / f"home {ODD}")
    out = job.home / LONG / ODD

    done = ended(job.start(out, prepare=lambda: (os.umask(umask), None)[1]))

    assert (done.code, done.errors) == (0, [])
    assert _tree(odd) == before
    assert job.temporaries() == []
    assert contents(out).keys() == undisturbed[0].keys()
    networks = {name: data for name, data in contents(out).items() if name.endswith(".onnx")}
    assert networks == {name: undisturbed[0][name] for name in networks}
    for path in [job.home / LONG, *out.rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o777 if path.is_dir() else 0o666) & ~umask, path
