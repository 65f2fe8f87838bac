"""Fuzz one parser guided by coverage: `python -m tests.fuzz.guided PARSER FOLDER [OPTION...]`.

atheris (libFuzzer) mutates tests/fuzz/corpus/PARSER, adds to FOLDER what reaches new code, and
leaves a file crash-* in FOLDER where something but a SegportError comes out. Copied into the
corpus, such a file is tried by every test run. Options are libFuzzer's, as -max_total_time=60.
"""

import shutil
import sys
from pathlib import Path

import atheris

_WATCHED = ["export", "quantize", "segport", "validate", "PIL", "tomllib", "zipfile", "csv"]
_LONGEST = 4096
"""Bytes of a file; those in the corpus shall be few."""
CORPUS = Path(__file__).with_name("corpus")

with atheris.instrument_imports(include=_WATCHED):
    from export.onnx_export import export_model
    from tests.fuzz.parsers import PARSERS


def main(name: str, found: Path, *options: str) -> None:
    """Fuzz until an option of libFuzzer ends it; the exit code is 0 where nothing broke."""
    parser = PARSERS[name]
    found.mkdir(parents=True, exist_ok=True)
    folder = found.with_name(f"{found.name}.work")
    shutil.rmtree(folder, ignore_errors=True)
    tiny = export_model("tests.networks:tiny", "default", folder / "tiny", size=(65, 65))
    (folder / "seed").mkdir(parents=True)
    file = parser.seed(folder / "seed", tiny)
    shutil.copy(file, found / "seed")

    def attempt(data: bytes) -> None:
        file.write_bytes(data)
        parser.refuses(file)

    limits = [f"-max_len={max(_LONGEST, file.stat().st_size)}", "-timeout=30", "-rss_limit_mb=6000"]
    corpora = [str(one) for one in (found, CORPUS / name) if one.is_dir()]
    atheris.Setup(
        ["guided", f"-artifact_prefix={found}/", *limits, *options, *corpora],
        attempt,
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
