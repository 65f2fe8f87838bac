"""Whether what is shipped is what was judged."""

import hashlib
from pathlib import Path

import pytest

from export.common.errors import UsageError
from tests.validate.results import artifact_result, result_of
from validate.gating.shipped import check_shipped
from validate.gating.verdict import Outcome
from validate.result.result import Result


def _result() -> Result:
    sha256 = hashlib.sha256(b"the file").hexdigest()
    return result_of(artifact_result("int8", file="net-int8.onnx", sha256=sha256))


def test_the_file_that_was_judged_passes(tmp_path: Path) -> None:
    (tmp_path / "net-int8.onnx").write_bytes(b"the file")
    ((verdict,),) = check_shipped([_result()], tmp_path)
    assert (verdict.id, verdict.outcome) == ("int8", Outcome.PASS)


@pytest.mark.parametrize(("content", "says"), [(b"another", "not the file"), (None, "not there")])
def test_another_file_or_none_cannot_be_told(
    tmp_path: Path, content: bytes | None, says: str
) -> None:
    if content is not None:
        (tmp_path / "net-int8.onnx").write_bytes(content)
    ((verdict,),) = check_shipped([_result()], tmp_path)
    assert verdict.outcome is Outcome.UNKNOWN and says in verdict.reason


def test_a_file_that_nobody_judged_is_named(tmp_path: Path) -> None:
    (tmp_path / "net-int8.onnx").write_bytes(b"the file")
    (tmp_path / "net-int8-npu.onnx").write_bytes(b"?")
    ((_, verdict),) = check_shipped([_result()], tmp_path)
    assert (verdict.id, verdict.outcome) == ("net-int8-npu.onnx", Outcome.UNKNOWN)


def test_what_lies_deeper_or_is_called_otherwise_is_seen(tmp_path: Path) -> None:
    (tmp_path / "net-int8.onnx").write_bytes(b"the file")
    (tmp_path / "sub").mkdir()
    for name in ("sub/net-int8.onnx", "b.ONNX", "c.ort"):
        (tmp_path / name).write_bytes(b"?")
    (tmp_path / "net-int8.json").write_text("{}")
    ((_, *strangers),) = check_shipped([_result()], tmp_path)
    assert [v.id for v in strangers] == ["b.ONNX", "c.ort", "sub/net-int8.onnx"]


def test_a_copy_of_what_was_judged_may_lie_in_a_package(tmp_path: Path) -> None:
    (tmp_path / "package/onnx").mkdir(parents=True)
    for name in ("net-int8.onnx", "package/onnx/model_int8.onnx"):
        (tmp_path / name).write_bytes(b"the file")
    ((verdict,),) = check_shipped([_result()], tmp_path)
    assert verdict.outcome is Outcome.PASS


def test_a_file_name_of_the_result_leads_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "shipped").mkdir()
    (tmp_path / "net.onnx").write_bytes(b"the file")
    sha256 = hashlib.sha256(b"the file").hexdigest()
    result = result_of(artifact_result("int8", file="../net.onnx", sha256=sha256))
    ((verdict,),) = check_shipped([result], tmp_path / "shipped")
    assert verdict.outcome is Outcome.UNKNOWN


def test_no_folder_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        check_shipped([_result()], tmp_path / "none")
