import pytest

from export.common.errors import UsageError
from quantize.int8.methods import METHODS, chosen_methods, rounding_method
from quantize.targets import TARGETS

FORMS = ("simplify-pooling", "sub-pixel-conv", "gelu")
OPERATORS = ("hard-sigmoid", "write-out-prelu")
BEFORE = (*FORMS, "repair-dead-channels", "convolve-before-resize", *OPERATORS)
DEFAULT = (*BEFORE, "fold-clip", "gptq")
OTHERS = ("simplify-pooling", "sub-pixel-conv", "repair-dead-channels", "fold-clip", "gptq")
OPENVINO = (*OTHERS[:3], "convolve-before-resize", *OTHERS[3:])
NPU = (
    "simplify-pooling", "sub-pixel-conv", "repair-dead-channels", "convolve-batch-norm", "equalize",
    "hard-sigmoid", "gptq",
)  # fmt: skip


@pytest.mark.parametrize(
    ("target", "methods"),
    [
        ("cpu", DEFAULT),
        ("cpu-avx2", DEFAULT),
        ("arm", DEFAULT),
        ("openvino", OPENVINO),
        ("tensorrt", OTHERS),
        ("npu", NPU),
        ("npu-pow2", NPU),
        ("per-tensor", ("fold-clip",)),
    ],
)
def test_every_target_has_methods_of_its_own(target: str, methods: tuple[str, ...]) -> None:
    assert chosen_methods(TARGETS[target], (), ()) == methods


def test_no_target_is_forgotten() -> None:
    for target in TARGETS.values():
        assert set(target.methods) <= METHODS.keys()


@pytest.mark.parametrize(
    ("added", "skipped", "methods"),
    [
        (["equalize"], [],
         (*FORMS, "repair-dead-channels", "equalize", "convolve-before-resize", *OPERATORS,
          "fold-clip", "gptq")),
        # in the order they are applied, not that of the command line
        (["correct-bias", "equalize"], ["fold-clip", "convolve-before-resize"],
         (*FORMS, "repair-dead-channels", "equalize", *OPERATORS, "gptq", "correct-bias")),
        (["gptq", "gptq"], [], DEFAULT),
        ([], ["gptq"], (*BEFORE, "fold-clip")),
        ([], ["equalize"], DEFAULT),  # not among the target's own, so nothing to leave out
        (["adaround"], [], (*BEFORE, "fold-clip", "adaround")),
        (["adaround"], ["gptq"], (*BEFORE, "fold-clip", "adaround")),
        ([], list(METHODS), ()),
    ],
)  # fmt: skip
def test_methods_are_added_and_left_out_by_name(
    added: list[str], skipped: list[str], methods: tuple[str, ...]
) -> None:
    assert chosen_methods(TARGETS["cpu"], added, skipped) == methods


@pytest.mark.parametrize(
    ("added", "skipped", "message"),
    [
        (["equalise"], [], "did you mean 'equalize'"),
        ([], ["gtpq"], "did you mean 'gptq'"),
        (["equalize"], ["equalize"], "--with equalize and --skip equalize: choose one"),
        (["gptq", "adaround"], [], "--with gptq and adaround: weights are rounded only once"),
    ],
)
def test_contradictions_are_refused(added: list[str], skipped: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        chosen_methods(TARGETS["cpu"], added, skipped)


@pytest.mark.parametrize(
    ("methods", "rounding"),
    [(DEFAULT, "gptq"), (("equalize", "adaround"), "adaround"), (("fold-clip",), None)],
)
def test_the_rounding_method_is_found(methods: tuple[str, ...], rounding: str | None) -> None:
    assert rounding_method(methods) == rounding
