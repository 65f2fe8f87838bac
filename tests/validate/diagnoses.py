"""Diagnoses made by hand, for tests of what reads them."""

from dataclasses import replace
from typing import Any

from export.artifact.diagnosis import Diagnosis, LayerDiagnosis, Suspect


def layer_of(index: int, **changes: Any) -> LayerDiagnosis:
    made = LayerDiagnosis(
        layer=f"conv_{index}",
        operator="Conv",
        tensor=f"t{index}",
        sqnr_db=30.0 - index,
        input_sqnr_db=31.0 - index if index else None,
        local_sqnr_db=40.0,
        expected_sqnr_db=41.0,
        jump_db=1.0 + index / 100,
        weight_sqnr_db=45.25,
        low=-1.5,
        high=6.0,
        max_error=0.125,
        max_error_image="2007_000033",
        scale=0.0294,
        zero_point=51,
        coarseness=1.0,
        saturated=0.0123,
        overflowed=None,
        underflowed=None,
        nonfinite=0,
    )
    return replace(made, **changes)


def diagnosis_of(layers: list[LayerDiagnosis], suspect: Suspect) -> Diagnosis:
    return Diagnosis(
        "net-fp32.onnx", "net-int8.onnx", "int8", ("a", "b"), 13.0, suspect, tuple(layers)
    )


def faulty_layer() -> Diagnosis:
    """Fourteen layers, of which conv_3 stands out."""
    layers = [layer_of(index) for index in range(14)]
    layers[3] = layer_of(3, sqnr_db=4.04, local_sqnr_db=4.5, jump_db=36.5, operator="Add|x")
    layers[5] = layer_of(5, sqnr_db=3.0, jump_db=9.0)
    return diagnosis_of(layers, Suspect(3, True, "its scale is 16.0 times what it needs"))
