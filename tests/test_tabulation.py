"""Tables on disk."""

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from corroscope.errors import OutputError
from corroscope.outputs import made_by, read_manifest
from corroscope.tables import EVENTS
from corroscope.tabulation import TableWriter, write_table

ROWS = pd.DataFrame(
    {
        "event": ["death", "ejection"],
        "frame": [1, 2],
        "time_s": [1770.301, 2.0],
        "pit": [1, 1],
        "track": [0, 4],
    }
)


def test_pieces_make_one_table(tmp_path: Path) -> None:
    with TableWriter(tmp_path / "events", EVENTS) as table:
        table.write(ROWS[:1])
        table.write(ROWS[1:].assign(more="left out"))
    assert pd.read_csv(tmp_path / "events.csv").equals(ROWS)  # to the millisecond
    assert pd.read_parquet(tmp_path / "events.parquet").equals(ROWS)
    field = pq.read_schema(tmp_path / "events.parquet").field("time_s")
    assert field.metadata == {b"unit": b"s", b"meaning": b"time from the first frame"}


def test_no_piece_is_an_empty_table_with_its_columns(tmp_path: Path) -> None:
    with TableWriter(tmp_path / "events", EVENTS):
        pass
    for table in (
        pd.read_csv(tmp_path / "events.csv"),
        pd.read_parquet(tmp_path / "events.parquet"),
    ):
        assert list(table.columns) == [column.name for column in EVENTS]
        assert table.empty


def test_a_missing_column_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="track"):
        write_table(tmp_path / "events", ROWS.drop(columns="track"), EVENTS)
    assert not list(tmp_path.iterdir())


def test_a_table_that_cannot_be_finished_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    close = pq.ParquetWriter.close

    def full(self: pq.ParquetWriter) -> None:
        if self.is_open:
            close(self)
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "close", full)
    with pytest.raises(OutputError, match="events.parquet: cannot be written .No space left"):
        write_table(tmp_path / "events", ROWS, EVENTS)
    assert not list(tmp_path.iterdir())


def test_a_manifest_that_is_missing_or_broken(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"manifest.json: cannot be read"):
        read_manifest(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(OutputError, match=r"manifest.json: cannot be read .*; run the command"):
        read_manifest(tmp_path)
    assert made_by(tmp_path) is None
