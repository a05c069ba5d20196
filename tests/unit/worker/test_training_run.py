"""`fracture-screen train`: which recipe it means, and a whole small run of it."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from models.architectures import BACKBONES
from models.bundle import load_bundle
from tests.unit.training.drawn import write_labels
from tests.unit.training.labelled_folders import (
    TINY,
    draw_fracatlas,
    make_recipe,
    make_rows,
    tiny_backbone,
)
from training import scored
from training.errors import RecipeError, RunError
from training.presets import PRESETS
from training.recipe import Recipe, recipe_to_toml
from training.statistics.intervals import with_interval
from worker.cli import app
from worker.training_run import Request, choose_recipe


def test_without_a_name_it_is_the_shipped_models(tmp_path: Path) -> None:
    assert _chosen(tmp_path) == Recipe()


def test_epochs_and_seed_replace_those_of_a_preset_or_a_file(tmp_path: Path) -> None:
    own = replace(Recipe(), batch_size=4)
    path = tmp_path / "own.toml"
    path.write_text(recipe_to_toml(own))
    for named, recipe in (("paper_a_resnet50v2", PRESETS["paper_a_resnet50v2"]), (str(path), own)):
        chosen = _chosen(tmp_path, recipe=named, epochs=3, seed=99)
        assert chosen == replace(recipe, epochs=3, seed=99)
        assert _chosen(tmp_path, recipe=named) == recipe


def test_a_run_that_goes_on_keeps_its_recipe_unless_another_is_named(tmp_path: Path) -> None:
    raw = PRESETS["paper_b_raw"]
    (tmp_path / "recipe.toml").write_text(recipe_to_toml(raw))
    assert _chosen(tmp_path, resume=True, epochs=40) == replace(raw, epochs=40)
    assert _chosen(tmp_path) == Recipe()
    named = _chosen(tmp_path, resume=True, recipe="paper_b_balanced")
    assert named == PRESETS["paper_b_balanced"]


def test_a_name_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="paper_z"):
        _chosen(tmp_path, recipe="paper_z")


def test_a_table_of_pictures_is_split_trained_on_and_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BACKBONES, TINY, tiny_backbone)  # type: ignore[misc]
    monkeypatch.setattr(scored, "with_interval", partial(with_interval, samples=20))
    data = _draw_table(tmp_path / "data")
    split, recipe, out = (tmp_path / name for name in ("split.json", "own.toml", "run"))
    recipe.write_text(recipe_to_toml(make_recipe(epochs=1)))
    _command("data", "split", "--data", data, "--shares", "50/25/25", "--out", split)
    command = ("train", "--data", data, "--split", split, "--recipe", recipe, "--out", out)

    done = _command(*command)
    assert done.exit_code == 0, (done.output, done.exception)
    bundle = load_bundle(out / "bundle")
    assert bundle.identity.label.startswith("fracture-tinyfortests")
    assert bundle.card["training"]["data"] == "own data"
    assert bundle.body_parts == {"HAND", "LEG"}

    assert isinstance(_command(*command).exception, RunError)
    more = _command(
        "train", "--data", data, "--split", split, "--out", out, "--resume", "--epochs", 2
    )
    assert more.exit_code == 0, (more.output, more.exception)
    assert len((out / "epochs.jsonl").read_text().splitlines()) == 2


def _draw_table(folder: Path) -> Path:
    """Without what makes it FracAtlas."""
    draw_fracatlas(folder)
    (folder / "images.csv").unlink()
    rows = [
        {
            "path": f"images/{row['image_id']}",
            "fractured": row["fractured"],
            "patient": row["id_block"],
            "region": "hand" if int(row["id_block"]) % 2 else "leg",
        }
        for row in make_rows(24)
    ]
    write_labels(folder, rows)
    return folder


def _command(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def _chosen(out: Path, **changes: Any) -> Recipe:  # Any: what the options hold
    plain = Request(Path("data"), "auto", None, None, None, None, None, out, False, None, None, "1")
    return choose_recipe(replace(plain, **changes))
