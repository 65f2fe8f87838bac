"""The command line: reads arguments, calls one public function, prints its answer.

Every stage is imported inside its command, so that `--help`, `gate` and `report` do not wait
for torch.
"""

import importlib.util
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from export.errors import SegportError, UsageError

BAD_INPUT = 2
app = typer.Typer(
    add_completion=True,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Trained segmentation networks to verified ONNX files, and what each of them lost.",
)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Output = Annotated[Path, typer.Option("-o", "--out", help="Folder to write to.")]
Protocol = Annotated[str, typer.Option(help="squash, center-crop or full.")]
SizeText = Annotated[
    tuple[str, str] | None, typer.Option("--size", help="Height and width, or 'dynamic'.")
]


@app.command()
def models(as_json: AsJson = False) -> None:
    """List the networks Segport can build, with their cost and published figures."""
    from export.zoo import zoo_table
    from segport.tables import models_table

    rows = zoo_table()
    _say(rows if as_json else models_table(rows), as_json)


@app.command()
def export(
    model: Annotated[str, typer.Argument(help="A name of 'segport models' or module:callable.")],
    weights: Annotated[str, typer.Option(help="Checkpoint file, 'default' or 'random'.")],
    out: Output,
    seed: Annotated[int, typer.Option(help="Seed of random weights.")] = 0,
    size: SizeText = None,
    batch: Annotated[str, typer.Option(help="Batch size, or 'dynamic'.")] = "1",
    output_stride: Annotated[int | None, typer.Option(help="16 or 8.")] = None,
    output: Annotated[str, typer.Option(help="logits, mask or both.")] = "logits",
    classes: Annotated[str, typer.Option(help="'voc' or a file with a name per line.")] = "voc",
    name: Annotated[str | None, typer.Option(help="Name of the artifacts.")] = None,
    as_json: AsJson = False,
) -> None:
    """Export a network to a verified fp32 ONNX artifact."""
    from export.artifact import NOMINAL_SIZE
    from segport.progress import stages

    with stages() as progress:
        progress.stage(f"export {model}")
        from export.onnx_export import export_model

        artifact = export_model(
            model,
            weights,
            out,
            seed=seed,
            size=_size(size, NOMINAL_SIZE),
            batch=_batch(batch),
            output_stride=output_stride,
            output=output,
            classes=classes,
            name=name,
        )
    _say_artifact(artifact, as_json)


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="A third-party fp32 .onnx.")],
    out: Output,
    mean: Annotated[
        tuple[float, float, float] | None, typer.Option(help="Mean of R G B, 0-1 units.")
    ] = None,
    std: Annotated[
        tuple[float, float, float] | None, typer.Option(help="Deviation of R G B, 0-1 units.")
    ] = None,
    size: SizeText = None,
    classes: Annotated[str, typer.Option(help="'voc' or a file with a name per line.")] = "voc",
    name: Annotated[str | None, typer.Option(help="Name of the artifacts.")] = None,
    as_json: AsJson = False,
) -> None:
    """Give a third-party fp32 ONNX network the manifest every other command needs."""
    from segport.progress import stages

    with stages() as progress:
        progress.stage(f"import {file.name}")
        from export.onnx_import import import_model

        fixed = _size(size, None)
        if size is not None and fixed is None:
            raise UsageError("import: --size is two numbers, height and width")
        artifact = import_model(
            file, out, mean=mean, std=std, size=fixed, classes=classes, name=name
        )
    _say_artifact(artifact, as_json)


@app.command()
def quantize(
    artifact: Annotated[Path, typer.Argument(help="An fp32 artifact.")],
    precision: Annotated[str, typer.Option(help="fp16 or int8.")],
    out: Output,
    target: Annotated[str, typer.Option(help="Hardware the int8 file is for.")] = "cpu",
    calibration: Annotated[
        str | None, typer.Option(help="VOC_ROOT[:SPLIT] (default split train) or a folder.")
    ] = None,
    protocol: Protocol = "squash",
    samples: Annotated[int, typer.Option(help="Calibration images.")] = 64,
    seed: Annotated[int, typer.Option(help="Seed of their choice.")] = 0,
    range_: Annotated[
        str, typer.Option("--range", help="minmax, percentile or percentile:99.9.")
    ] = "minmax",
    io: Annotated[
        str, typer.Option(help="fp16: type of inputs and outputs, fp32 or fp16.")
    ] = "fp32",
    no_guard: Annotated[bool, typer.Option("--no-guard", help="fp16: convert everything.")] = False,
    keep_float: Annotated[
        list[str] | None, typer.Option(help="Glob of layer names to leave in float.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make an fp16 or int8 artifact of an fp32 one."""
    from segport.progress import stages

    with stages() as progress:
        step = progress.stage(f"quantize {precision}")
        from export.artifact import load_artifact
        from quantize.quantization import Settings
        from quantize.quantization import quantize as quantize_artifact
        from validate.datasets import open_dataset
        from validate.samples import Preparation, Samples

        loaded = load_artifact(artifact)
        preparation = Preparation.for_artifact(loaded.manifest, protocol)
        images: Sequence[Any] = ()
        if calibration is not None:
            dataset = open_dataset(calibration, "train", masks=False).sample(samples, seed)
            images = Samples(dataset, preparation)
        made = quantize_artifact(
            loaded,
            precision,
            out,
            samples=images,
            protocol=protocol,
            settings=Settings(
                target=target,
                range=range_,
                io=io,
                guard=not no_guard,
                keep_float=tuple(keep_float or ()),
                seed=seed,
            ),
            progress=step,
        )
    _say_artifact(made, as_json)


@app.command()
def validate(
    artifacts: Annotated[list[Path], typer.Argument(help="Artifacts of one network.")],
    data: Annotated[str, typer.Option(help="VOC_ROOT[:SPLIT] (default split val) or a folder.")],
    out: Output,
    protocol: Protocol = "squash",
    reference: Annotated[
        str | None, typer.Option(help="An fp32 artifact, or 'torch'. Default: the fp32 one given.")
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="With --reference torch: the checkpoint exported from.")
    ] = None,
    runtime: Annotated[str | None, typer.Option(help="ort-cpu, ort-cuda or ort-fp16.")] = None,
    limit: Annotated[int | None, typer.Option(help="Use the first N images only.")] = None,
    allow_overlap: Annotated[
        bool, typer.Option("--allow-overlap", help="Accept calibration images; marks the result.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compare artifacts with their reference on labelled images."""
    from segport.progress import stages

    with stages() as progress:
        progress.stage("validate")
        from export.artifact import load_artifact
        from validate.comparison import validate as compare
        from validate.report import terminal_report

        result = compare(
            [load_artifact(path) for path in artifacts],
            data,
            out,
            protocol=protocol,
            reference=reference,
            weights=weights,
            runtime=runtime,
            limit=limit,
            allow_overlap=allow_overlap,
            command=_command_line(),
            progress=progress,
        )
    _say(json.loads(result.to_json()) if as_json else terminal_report(result), as_json)


@app.command()
def report(
    result: Annotated[Path, typer.Argument(help="result.json of validate or run.")],
    out: Output,
    as_json: AsJson = False,
) -> None:
    """Print a result as a table and write its report files."""
    from validate.report import report as write_report
    from validate.report import terminal_report
    from validate.result import load_result

    files = write_report(result, out)
    if as_json:
        _say({"files": [str(file) for file in files]}, as_json)
        return
    written = "\n".join(f"wrote {file}" for file in files)
    _say(f"{terminal_report(load_result(result))}\n\n{written}", as_json)


@app.command()
def gate(
    result: Annotated[Path, typer.Argument(help="result.json of validate or run.")],
    max_drop: Annotated[
        list[str] | None,
        typer.Option(help="ID=X: points of mIoU an artifact or precision may lose."),
    ] = None,
    baseline: Annotated[Path | None, typer.Option(help="Baseline file to compare with.")] = None,
    tolerance: Annotated[float, typer.Option(help="Points below the baseline that pass.")] = 0.2,
    on_inconclusive: Annotated[
        str | None, typer.Option(help="pass or fail, when the interval straddles a budget.")
    ] = None,
    update_baseline: Annotated[
        bool, typer.Option("--update-baseline", help="Write this result into --baseline.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Judge a result: exit code 0 pass, 1 regression, 2 cannot tell."""
    from segport.tables import verdict_lines
    from validate.gate import exit_code
    from validate.gate import gate as judge
    from validate.gate import update_baseline as write_baseline
    from validate.result import load_result

    loaded = load_result(result)
    if update_baseline:
        if baseline is None:
            raise UsageError("gate: --update-baseline needs --baseline FILE")
        entries = len(write_baseline(loaded, baseline).entries)
        _say({"entries": entries} if as_json else f"{baseline}: {entries} entries", as_json)
        return
    verdicts = judge(
        loaded,
        max_drop=_budgets(max_drop or []),
        baseline=baseline,
        tolerance=tolerance,
        on_inconclusive=on_inconclusive,
    )
    code = exit_code(verdicts)
    document = {"exit_code": code, "verdicts": [vars(verdict) for verdict in verdicts]}
    _say(document if as_json else verdict_lines(verdicts), as_json)
    raise typer.Exit(code)


@app.command()
def run(
    recipe: Annotated[Path, typer.Argument(help="A recipe (TOML).")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Folder to write to. Default: runs/<name>.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Do the whole job a recipe describes; the exit code is the gate's."""
    from segport.progress import stages

    with stages() as progress:
        progress.stage("start")
        from segport.pipeline import run as run_recipe
        from segport.recipe import load_recipe
        from segport.tables import run_report
        from validate.gate import exit_code

        loaded = load_recipe(recipe)
        folder = out or Path("runs") / loaded.name
        done = run_recipe(loaded, folder, progress, command=_command_line())
    code = exit_code([verdict for _, verdict in done.verdicts]) if done.verdicts else 0
    if as_json:
        document = {
            "exit_code": code,
            "artifacts": [str(artifact.path) for artifact in done.artifacts],
            "results": [json.loads(result.to_json()) for result, _ in done.results],
            "verdicts": [{"protocol": p} | vars(verdict) for p, verdict in done.verdicts],
        }
        _say(document, as_json)
    else:
        _say(run_report(done), as_json)
    raise typer.Exit(code)


@app.command()
def predict(
    artifact: Annotated[Path, typer.Argument(help="An artifact.")],
    source: Annotated[Path, typer.Argument(help="An image or a folder of images.")],
    out: Output,
    runtime: Annotated[str | None, typer.Option(help="ort-cpu, ort-cuda or ort-fp16.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write a palette mask and a colour overlay for each image, at its own size."""
    from segport.progress import stages

    with stages() as progress:
        step = progress.stage("predict")
        from export.artifact import load_artifact
        from validate.prediction import predict as predict_images

        found = predict_images(load_artifact(artifact), source, out, runtime=runtime, progress=step)
    if as_json:
        _say([{k: _plain(v) for k, v in vars(p).items()} for p in found], as_json)
    else:
        _say("\n".join(f"{p.mask}  {p.overlay}  {', '.join(p.classes)}" for p in found), as_json)


def main() -> None:
    """Entry point: every Segport error becomes one line on standard error and exit code 2."""
    try:
        _refuse_strangers()
        app(args=_expand_dynamic(sys.argv[1:]), prog_name="segport")
    except SegportError as error:
        print(f"segport: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(BAD_INPUT)
    except KeyboardInterrupt:
        sys.exit(130)


def _refuse_strangers() -> None:
    """Stop when `export`, `quantize` or `validate` is somebody else's package."""
    home = Path(__file__).resolve().parent.parent
    for name in ("export", "quantize", "validate"):
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None or Path(spec.origin).resolve().parent.parent != home:
            raise SegportError(
                f"the package '{name}' is {spec.origin if spec else 'missing'}, not segport's; run "
                "in an environment of its own"
            )


def _expand_dynamic(arguments: list[str]) -> list[str]:
    """`--size dynamic` is one word where `--size H W` are two; click wants a fixed number."""
    expanded: list[str] = []
    for argument in arguments:
        expanded.append(argument)
        if argument == "dynamic" and expanded[-2:-1] == ["--size"]:
            expanded.append(argument)
    return expanded


def _size(text: tuple[str, str] | None, default: Any) -> tuple[int, int] | None:
    if text is None:
        return default  # type: ignore[no-any-return]
    if text == ("dynamic", "dynamic"):
        return None
    try:
        return int(text[0]), int(text[1])
    except ValueError as error:
        raise UsageError(f"--size {' '.join(text)}: give height and width, or 'dynamic'") from error


def _batch(text: str) -> int | None:
    if text == "dynamic":
        return None
    try:
        return int(text)
    except ValueError as error:
        raise UsageError(f"--batch {text}: give a number or 'dynamic'") from error


def _budgets(texts: list[str]) -> dict[str, float]:
    budgets = {}
    for text in texts:
        key, _, value = text.partition("=")
        try:
            budgets[key] = float(value)
        except ValueError:
            budgets[key] = float("nan")
        if not key or not abs(budgets[key]) < float("inf"):
            raise UsageError(f"--max-drop {text}: give ID=POINTS, such as int8=0.5")
    return budgets


def _command_line() -> str:
    return shlex.join(["segport", *sys.argv[1:]])


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def _say(document: Any, as_json: bool) -> None:
    typer.echo(json.dumps(document, indent=1) if as_json else document)


def _say_artifact(artifact: Any, as_json: bool) -> None:
    from segport.tables import artifact_lines

    if as_json:
        manifest = artifact.manifest.model_dump(mode="json")
        _say({"file": str(artifact.path), "manifest": manifest}, as_json)
    else:
        _say(artifact_lines(artifact), as_json)
