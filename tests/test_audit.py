"""`corroscope audit`: groups, splits that leak, datasets that share surface."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

import corroscope
from corroscope.cli import main
from corroscope.errors import DatasetError, LeakageError
from corroscope.outputs import read_manifest


def picture(seed: int) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).normal(size=(120, 180)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 1.2)
    grey = np.clip(130 + 30 * smooth / np.std(smooth), 0, 255)
    return np.asarray(grey, np.uint8)


def save(folder: Path, name: str, frame: NDArray[np.uint8]) -> None:
    folder.mkdir(exist_ok=True)
    cv2.imwrite(str(folder / f"{name}.png"), frame)
    cv2.imwrite(str(folder / f"{name}_mask.png"), np.zeros_like(frame))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three surfaces; of the first two patches that overlap, and a copy of one."""
    folder = tmp_path / "dataset"
    first = picture(0)
    save(folder, "a", first[:, :120])
    save(folder, "b", first[:, 60:])
    save(folder, "c", picture(1)[:, :120])
    save(folder, "d", picture(2)[:, :120])
    save(folder, "e", first[:, :120])
    return folder


def split_of(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "split.csv"
    path.write_text(text)
    return path


def test_surfaces_and_overlaps(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = corroscope.audit(folder, out=out)
    surfaces = pd.read_csv(out / "surfaces.csv")
    assert surfaces.to_dict("list") == {
        "image": [f"{name}.png" for name in "abcde"],
        "surface": [0, 0, 1, 2, 0],
    }
    pd.testing.assert_frame_equal(surfaces, found.surfaces)
    overlaps = pd.read_csv(out / "overlaps.csv")
    assert len(overlaps) == len(found.overlaps)
    columns = ["image", "other", "dy_px", "dx_px", "share", "gain", "same_frame", "found"]
    assert overlaps[columns].to_numpy().tolist() == [
        ["a.png", "b.png", 0, 60, 0.5, 1.0, True, True],
        ["a.png", "e.png", 0, 0, 1.0, 1.0, True, True],
        ["b.png", "e.png", 0, -60, 0.5, 1.0, True, True],
    ]
    assert overlaps["index"].isna().all()
    assert found.summary[0].startswith("5 patches show 3 separate pieces of surface; 3 pairs")
    assert "Duplicate: a.png and e.png are the same picture." in found.summary
    assert (out / "summary.txt").read_text().splitlines() == list(found.summary)
    manifest = read_manifest(out)
    assert manifest["command"] == "audit"
    assert manifest["summary"] == list(found.summary)
    assert manifest["leaks"] == []
    assert sorted(path.name for path in out.iterdir()) == [
        "manifest.json", "overlaps.csv", "summary.txt", "surfaces.csv",
    ]  # fmt: skip


def test_nothing_overlaps(folder: Path, tmp_path: Path) -> None:
    for name in "be":
        (folder / f"{name}.png").unlink()
        (folder / f"{name}_mask.png").unlink()
    corroscope.audit(folder, out=tmp_path / "out")
    table = pd.read_csv(tmp_path / "out" / "overlaps.csv")
    assert table.empty
    assert "correlation" in table


def test_index_is_compared(folder: Path, tmp_path: Path) -> None:
    rows = ["a.png,x", "b.png,x", "c.png,y", "d.png,z", "e.png,x"]
    for told, verdict in ((rows, "the same."), ([*rows[:4], "e.png,y"], "not the same.")):
        (folder / "index.csv").write_text("\n".join(["image,surface_group", *told]) + "\n")
        found = corroscope.audit(folder, out=tmp_path / "out")
        assert found.summary[1] == (
            f"index.csv has 3 surface groups, the pixels alone 3: {verdict}"
        )
    assert (
        "Contradiction: a.png and e.png: pixels show an overlap, index.csv has surface groups x "
        "and y." in found.summary
    )


def test_split_that_leaks(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    split = split_of(tmp_path, "image,side\na.png,train\nb.png,test\nc.png,test\nd.png,train\n")
    out = tmp_path / "out"
    assert main(["audit", str(folder), "--split", str(split), "--out", str(out)]) == 2
    message = capsys.readouterr().err
    assert message == (
        f"corroscope audit: {split}: the split leaks: 1 pairs share surface across sides (1 of 2 "
        "in test, 1 of 2 in train), as a.png (train) with b.png (test); keep each surface of "
        "surfaces.csv on one side\n"
    )
    lines = (out / "summary.txt").read_text().splitlines()
    assert "Side test: 1 of 2 patches share surface with another side." in lines
    assert "1 patches are on no side." in lines
    assert len(pd.read_csv(out / "surfaces.csv")) == 5
    assert len(read_manifest(out)["leaks"]) == 1


def test_split_that_does_not_leak(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    split = split_of(tmp_path, "image,fold\na.png,1\nb.png,1\ne.png,1\nc.png,2\nd.png,3\n")
    out = tmp_path / "out"
    assert main(["audit", str(folder), "--split", str(split), "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "Side 3: 0 of 1 patches share surface with another side." in shown
    assert str(out) in shown


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,where\na.png,1\n", "has no rows with columns image and side"),
        ("name,side\na.png,1\n", "has no rows with columns image and side"),
        ("", "has no rows with columns image and side"),
        ("image,side\nz.png,1\n", "names z.png, which is not in the dataset"),
        ("image,side\na.png,\n", "a.png is on no side; fill in side"),
        ("image,side\na.png\n", "a.png is on no side; fill in side"),
        ("image,side\na.png,1\na.png,2\n", "a.png is on two sides"),
        ('image,side\n"a.png,1\n', "cannot be read"),
    ],
)
def test_split_not_understood(folder: Path, tmp_path: Path, text: str, message: str) -> None:
    split = split_of(tmp_path, text)
    with pytest.raises(DatasetError, match=message):
        corroscope.audit(folder, split=split, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_split_is_missing(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"none.csv: cannot be read .* give a CSV file"):
        corroscope.audit(folder, split=tmp_path / "none.csv", out=tmp_path / "out")


def test_against_a_dataset_with_the_same_surface(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "held-out"
    save(other, "p", picture(3)[:, :120])
    save(other, "q", picture(0)[:, 30:150])
    save(other, "r", picture(2)[:, :120])
    out = tmp_path / "out"
    with pytest.raises(LeakageError) as raised:
        corroscope.audit(folder, against=other, out=out)
    assert str(raised.value) == (
        f"{folder}: 4 of 5 patches show surface that is in {other} too, as a.png (with q.png), "
        "b.png (with q.png), d.png (with r.png); leave them out"
    )
    crossing = pd.read_csv(out / "against.csv")
    assert crossing[["image", "other", "dx_px"]].to_numpy().tolist() == [
        ["a.png", "q.png", 30],
        ["b.png", "q.png", -30],
        ["d.png", "r.png", 0],
        ["e.png", "q.png", 30],
    ]
    lines = (out / "summary.txt").read_text().splitlines()
    assert "Duplicate: d.png is r.png of the other dataset." in lines
    assert read_manifest(out)["against_sha256"]


def test_against_a_dataset_of_other_surface(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "held-out"
    save(other, "p", picture(3)[:, :120])
    found = corroscope.audit(folder, against=other, out=tmp_path / "out")
    assert "0 of 5 patches show surface of the other dataset." in found.summary
    assert pd.read_csv(tmp_path / "out" / "against.csv").empty


def test_both_leaks_are_told_in_one_line(folder: Path, tmp_path: Path) -> None:
    split = split_of(tmp_path, "image,part\na.png,train\nb.png,test\n")
    other = Path(shutil.copytree(folder, tmp_path / "copy"))
    with pytest.raises(LeakageError, match=r"split leaks: .*; .*: 5 of 5 patches show"):
        corroscope.audit(folder, against=other, split=split, out=tmp_path / "out")


def test_real_split_by_file_name_leaks(real_folder: Path, tmp_path: Path) -> None:
    """Sorted names, the first 70 % to train on; counted from the index by itself."""
    index = pd.read_csv(real_folder / "index.csv").sort_values("image").reset_index(drop=True)
    first = round(0.7 * len(index))
    index["side"] = ["train"] * first + ["test"] * (len(index) - first)
    split = tmp_path / "split.csv"
    index[["image", "side"]].to_csv(split, index=False)
    corners = index[["y0_px", "x0_px"]].to_numpy()
    close = (np.abs(corners[:, None] - corners[None]) < 200).all(axis=-1)
    near = index["image"][first:][close[first:, :first].any(axis=1)]
    with pytest.raises(LeakageError, match=rf"{len(near)} of 22 in test"):
        corroscope.audit(real_folder, split=split, out=tmp_path / "out")
    table = pd.read_csv(tmp_path / "out" / "surfaces.csv").merge(index, on="image")
    assert table.groupby("surface")["surface_group"].nunique().eq(1).all()
    assert table.groupby("surface_group")["surface"].nunique().eq(1).all()
