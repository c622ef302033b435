"""Comparing evaluations: when one is called better, what is refused, what is warned of."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import corroscope
from corroscope.cli import main
from corroscope.errors import DatasetError, OutputError, SettingsError
from corroscope.outputs import write_mask, write_png
from corroscope.scoring.counts import Counts
from corroscope.scoring.scores import SCORES
from corroscope.segmentation.bundle import write_bundle
from corroscope.synthesis.experiment import Scene

IMAGES = 12

Made = Callable[..., Path]


@pytest.fixture
def evaluation(tmp_path: Path) -> Made:
    """Write by hand what an evaluation writes: each image a surface of its own."""

    def make(folder: str, hits: list[int], *, name: str | None = None, seen: int = 0) -> Path:
        path = tmp_path / folder
        path.mkdir()
        rows = [
            {
                "image": f"{number:03}",
                "surface": number,
                "cluster": number,
                "seen_in_training": number < seen,
                "tainted": number < seen,
            }
            | vars(
                Counts(
                    true_positive=10 * hit,
                    false_negative=100 - 10 * hit,
                    false_positive=20,
                    true_negative=1000,
                    predicted=10,
                    annotated=10,
                    matched_iou_30=hit,
                    images=1,
                )
            )
            for number, hit in enumerate(hits)
        ]
        pd.DataFrame(rows).to_csv(path / "per_image.csv", index=False)
        manifest = {
            "command": "evaluate",
            "dataset_sha256": "d5",
            "bundle": {"name": name or folder, "network_sha256": f"hash of {name or folder}"},
            "settings": {"threshold": 0.5},
        }
        (path / "manifest.json").write_text(json.dumps(manifest))
        (path / "metrics.json").write_text(json.dumps({"agreement": None}))
        return path

    return make


def rewrite(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


WORSE = [3, 4, 5, 2, 6, 4, 3, 5, 4, 6, 2, 3]
BETTER = [hits + 2 for hits in WORSE]
MIXED = [hits + (3 if number % 2 else -2) for number, hits in enumerate(WORSE)]


def test_better_is_said_of_the_better_one_only(evaluation: Made, tmp_path: Path) -> None:
    first, better, mixed = (
        evaluation(name, hits) for name, hits in (("first", WORSE), ("b", BETTER), ("m", MIXED))
    )
    found = corroscope.compare([first, better, mixed], out=tmp_path / "out")
    assert [model.get("verdict") for model in found["models"]] == [
        None, "better", "not told apart"
    ]  # fmt: skip
    assert found["warnings"] == []
    assert found["models"][1]["sentence"].startswith("b is better than first on 12 patches")
    turned = corroscope.compare([better, first], out=tmp_path / "turned")
    assert turned["models"][1]["verdict"] == "worse"


def test_figures_are_those_of_the_counts(evaluation: Made, tmp_path: Path) -> None:
    results = [evaluation("first", WORSE), evaluation("b", BETTER)]
    found = corroscope.compare(results, out=tmp_path / "out")

    def f1(hits: list[int]) -> float:
        return sum(hits) / (10 * len(hits))

    first, second = found["models"]
    assert first["scores"]["particle_f1_iou30"] == pytest.approx(f1(WORSE), abs=1e-4)
    difference = f1(BETTER) - f1(WORSE)
    assert second["difference"]["particle_f1_iou30"] == pytest.approx(difference, abs=1e-4)
    low, high = second["difference_95"]["particle_f1_iou30"]
    assert low == pytest.approx(0.2) == high  # the same on every surface
    table = pd.read_csv(tmp_path / "out" / "comparison.csv")
    assert len(table) == 2 * len(SCORES)
    row = table[(table["model"] == "b") & (table["score"] == "particle_f1_iou30")].iloc[0]
    assert row["value"] == pytest.approx(f1(BETTER), rel=1e-5)
    assert row["difference"] == pytest.approx(difference, rel=1e-5)
    assert row["verdict"] == "better"
    assert table.loc[table["model"] == "first", "difference"].isna().all()
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == found
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["command"] == "compare"
    assert [one["name"] for one in manifest["results"]] == ["first", "b"]


def test_of_biases_the_smaller_is_better(evaluation: Made, tmp_path: Path) -> None:
    first, other = evaluation("first", WORSE), evaluation("b", WORSE)
    table = pd.read_csv(first / "per_image.csv", dtype={"image": str})
    table["predicted"] = 4  # a bias of -0.6; the other's is 0
    table.to_csv(first / "per_image.csv", index=False)
    (_, told) = corroscope.compare([first, other], out=tmp_path / "out")["models"]
    assert told["difference"]["count_bias"] == pytest.approx(-0.6)
    assert told["words"]["count_bias"] == "better"


def test_what_was_learnt_has_no_say(evaluation: Made, tmp_path: Path) -> None:
    remembered = [10] * 5 + WORSE[5:]
    first, other = evaluation("first", WORSE), evaluation("b", remembered, seen=5)
    found = corroscope.compare([first, other], out=tmp_path / "out")
    assert found["unknown_patches"] == 7
    assert found["models"][1]["verdict"] == "not told apart"
    assert found["models"][1]["difference"]["dice"] == 0
    assert set(found["models"][1]["words"].values()) == {"not told apart"}
    first_told, other_told = (model["scores"]["dice"] for model in found["models"])
    assert other_told > first_told  # of all patches
    assert (
        "b was trained on 5 of 12 patches: on them its scores measure memory."
        in (found["warnings"])
    )
    report = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "b was trained on 5 of 12 patches" in report


def test_surface_near_what_was_learnt_is_told(evaluation: Made, tmp_path: Path) -> None:
    first, other = evaluation("first", WORSE), evaluation("b", BETTER, seen=5)
    table = pd.read_csv(other / "per_image.csv", dtype={"image": str})
    table["seen_in_training"] = table.index < 2
    table.to_csv(other / "per_image.csv", index=False)
    warnings = corroscope.compare([first, other], out=tmp_path / "out")["warnings"]
    assert "b was trained on surface that 3 more of 12 patches show." in warnings


def test_without_unknown_surface_there_is_no_verdict(evaluation: Made, tmp_path: Path) -> None:
    first, other = evaluation("first", WORSE), evaluation("b", BETTER, seen=IMAGES)
    found = corroscope.compare([first, other], out=tmp_path / "out")
    assert found["models"][1]["verdict"] == "not told apart"
    assert set(found["models"][1]["words"].values()) == {"not told apart"}
    assert found["models"][1]["difference"]["dice"] > 0
    assert "cannot be judged" in found["models"][1]["sentence"]
    assert any("there is no verdict" in warning for warning in found["warnings"])


def test_few_surfaces_tell_nothing_apart(evaluation: Made, tmp_path: Path) -> None:
    first, other = evaluation("first", WORSE[:4]), evaluation("b", BETTER[:4])
    found = corroscope.compare([first, other], out=tmp_path / "out")
    assert found["models"][1]["verdict"] == "not told apart"
    assert found["models"][1]["difference_95"]["dice"] == [None, None]
    assert "no interval: it is defined on too few pieces" in found["models"][1]["sentence"]


def test_the_same_model_twice_is_told(evaluation: Made, tmp_path: Path) -> None:
    first, other = (evaluation(folder, WORSE, name="net") for folder in ("a", "b"))
    found = corroscope.compare([first, other], out=tmp_path / "out")
    assert found["warnings"] == ["net (a) and net (b) are the same network with the same settings."]
    assert found["models"][1]["verdict"] == "not told apart"
    rewrite(other / "manifest.json", lambda it: it["settings"].update(threshold=0.4))
    assert corroscope.compare([first, other], out=tmp_path / "out")["warnings"] == []
    twice = corroscope.compare([first, first], out=tmp_path / "out")
    assert [model["name"] for model in twice["models"]] == ["net (a) [1]", "net (a) [2]"]


def test_the_ceiling_is_shown_where_it_is_known(evaluation: Made, tmp_path: Path) -> None:
    results = [evaluation("first", WORSE), evaluation("b", BETTER)]
    corroscope.compare(results, out=tmp_path / "out")
    page = tmp_path / "out" / "report.html"
    assert ">ceiling<" not in page.read_text(encoding="utf-8")
    agreed = {"scores": {"dice": 0.8764, "count_bias": None}}
    rewrite(results[1] / "metrics.json", lambda it: it.update(agreement=agreed))
    corroscope.compare(results, out=tmp_path / "out")
    report = page.read_text(encoding="utf-8")
    assert ">ceiling<" in report
    assert ">0.876<" in report


@pytest.mark.parametrize("number", [0, 1])
def test_too_few_results(evaluation: Made, tmp_path: Path, number: int) -> None:
    results = [evaluation("first", WORSE)][:number]
    with pytest.raises(SettingsError, match="at least two"):
        corroscope.compare(results, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_no_evaluation(evaluation: Made, tmp_path: Path) -> None:
    first, run = evaluation("first", WORSE), evaluation("b", BETTER)
    with pytest.raises(SettingsError, match=r"nowhere: no result; give folders"):
        corroscope.compare([first, tmp_path / "nowhere"], out=tmp_path / "out")
    rewrite(run / "manifest.json", lambda it: it.update(command="run"))
    with pytest.raises(SettingsError, match=r"b: written by run; give folders"):
        corroscope.compare([first, run], out=tmp_path / "out")


def test_other_patches(
    evaluation: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, other = evaluation("first", WORSE), evaluation("b", BETTER)
    table = pd.read_csv(other / "per_image.csv", dtype={"image": str})
    rewrite(other / "manifest.json", lambda it: it.update(dataset_sha256="other"))
    with pytest.raises(DatasetError, match="different datasets"):
        corroscope.compare([first, other], out=tmp_path / "out")
    assert main(["compare", str(first), str(other), "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    rewrite(other / "manifest.json", lambda it: it.update(dataset_sha256="d5"))
    table.iloc[1:].to_csv(other / "per_image.csv", index=False)
    with pytest.raises(DatasetError, match="different images"):
        corroscope.compare([first, other], out=tmp_path / "out")
    table.assign(surface=0).to_csv(other / "per_image.csv", index=False)
    with pytest.raises(DatasetError, match="divided into surfaces differently"):
        corroscope.compare([first, other], out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def _without_images(folder: Path) -> None:
    table = pd.read_csv(folder / "per_image.csv")
    table.head(0).to_csv(folder / "per_image.csv", index=False)


def _without_column(folder: Path) -> None:
    table = pd.read_csv(folder / "per_image.csv")
    table.drop(columns="matched_3px").to_csv(folder / "per_image.csv", index=False)


def _without_a_count(folder: Path) -> None:
    table = pd.read_csv(folder / "per_image.csv")
    table["matched_3px"] = table["matched_3px"].where(table.index != 2)
    table.to_csv(folder / "per_image.csv", index=False)


def _twice_an_image(folder: Path) -> None:
    table = pd.read_csv(folder / "per_image.csv")
    table["image"] = table["image"].replace(2, 1)
    table.to_csv(folder / "per_image.csv", index=False)


def _without_table(folder: Path) -> None:
    (folder / "per_image.csv").unlink()


def _with_a_broken_file(folder: Path) -> None:
    (folder / "metrics.json").write_text('{"agreement": ')


def _without_bundle(folder: Path) -> None:
    rewrite(folder / "manifest.json", lambda it: it.pop("bundle"))


def _with_words_for_counts(folder: Path) -> None:
    table = pd.read_csv(folder / "per_image.csv").assign(predicted="many")
    table.to_csv(folder / "per_image.csv", index=False)


@pytest.mark.parametrize(
    "harm",
    [
        _without_images, _without_column, _without_a_count, _twice_an_image, _without_table,
        _with_a_broken_file, _without_bundle, _with_words_for_counts,
    ],
)  # fmt: skip
def test_incomplete_evaluations(
    evaluation: Made, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    first, other = evaluation("first", WORSE), evaluation("broken", BETTER)
    harm(other)
    with pytest.raises(OutputError, match=r"broken: .*; evaluate again") as caught:
        corroscope.compare([first, other], out=tmp_path / "out")
    assert "\n" not in str(caught.value)


def test_evaluations_of_a_bundle(
    dataset: Path,
    tmp_path: Path,
    crowded: Callable[[tuple[int, int], int], Scene],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """From patches to the page, with the bundle that is shipped and one that finds less."""
    with (dataset / "index.csv").open("a") as index:
        for number in (6, 7):
            made = crowded((128, 136), number)
            write_png(dataset / f"image_{number}.png", made.frame)
            write_mask(dataset / f"mask_{number}.png", made.mask)
            index.write(f"image_{number}.png,mask_{number}.png,{number}\n")
    first = tmp_path / "first"
    corroscope.evaluate(dataset, out=first)
    shipped = corroscope.load_bundle()
    strictly = {"name": "strict", "threshold": 0.97, "rescoring": None}
    card = shipped.card.model_copy(update=strictly)
    strict = write_bundle(tmp_path / "strict", shipped.network, card)
    other = tmp_path / "other"
    corroscope.evaluate(dataset, out=other, model=strict.folder)
    assert main(["compare", str(first), str(other), "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("strict is worse than ")
    table = pd.read_csv(tmp_path / "out" / "comparison.csv")
    written = json.loads((other / "metrics.json").read_text())["scores"]
    told = table[table["model"] == "strict"].set_index("score")["value"]
    for name, value in written.items():
        if value is not None:
            assert told[name] == pytest.approx(value, abs=1e-4)


def test_comparing_needs_no_torch() -> None:
    code = "import sys, corroscope; corroscope.compare; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
