from pathlib import Path

import pytest

from export.common.errors import DataError
from export.common.memory import _of_container, free_memory, refuse_beyond


def test_the_machine_has_some_and_no_petabyte() -> None:
    free = free_memory()
    assert free is not None and 1 << 20 < free < 1 << 50
    refuse_beyond(1 << 10, "a kilobyte")
    with pytest.raises(DataError, match=r"a lot needs 1125899\.9 GB of memory, .* GB are free"):
        refuse_beyond(1 << 50, "a lot")


def test_a_containers_limit_counts_cached_files_as_free(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("900\n")
    (tmp_path / "memory.stat").write_text("anon 300\nfile 600\n")
    assert list(_of_container(tmp_path)) == [700]
    (tmp_path / "memory.max").write_text("max\n")
    assert list(_of_container(tmp_path)) == []
