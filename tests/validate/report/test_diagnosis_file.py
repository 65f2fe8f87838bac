from dataclasses import replace
from math import inf, isnan, nan
from pathlib import Path

from export.artifact.diagnosis import Suspect
from tests.validate.diagnoses import diagnosis_of, faulty_layer, layer_of
from validate.report.diagnosis_file import load_diagnosis
from validate.report.diagnosis_report import write_diagnosis


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    faulty = faulty_layer()
    write_diagnosis(faulty, tmp_path)
    assert load_diagnosis(tmp_path) == faulty


def test_numbers_that_are_not_finite_come_back(tmp_path: Path) -> None:
    layer = layer_of(0, sqnr_db=inf, local_sqnr_db=-inf, max_error=nan, max_error_image="inf")
    write_diagnosis(diagnosis_of([layer], Suspect(0, False, "why")), tmp_path)
    (found,) = load_diagnosis(tmp_path).layers
    assert isnan(found.max_error)
    assert replace(found, max_error=0.0) == replace(layer, max_error=0.0)
