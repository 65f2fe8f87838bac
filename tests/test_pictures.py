"""VOC's pictures are other people's: what we commit shows generated scenes only."""

from pathlib import Path

import pytest

from segport.recipe_file import load_recipe

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "reports" / "demo"


@pytest.mark.parametrize("recipe", sorted((ROOT / "recipes").glob("*.toml")), ids=lambda p: p.stem)
def test_no_recipe_keeps_pictures(recipe: Path) -> None:
    assert load_recipe(recipe).validation.pictures == 0


def test_no_report_but_the_demos_has_pictures() -> None:
    shown = [
        path.relative_to(ROOT)
        for path in (ROOT / "reports").rglob("*")
        if DEMO not in path.parents
        and (
            path.suffix in (".zip", ".jpg", ".png")
            or (path.suffix == ".html" and "data:image/jpeg" in path.read_text())
        )
    ]
    assert shown == []
