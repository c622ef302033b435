"""Writing tables: the same rows as CSV to look at and as Parquet, which knows the units."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from corroscope.outputs import replacing
from corroscope.tables import Column


class TableWriter:
    """A table written as CSV and as Parquet with units, piece by piece.

    Parameters
    ----------
    stem
        The files, without ``.csv`` and ``.parquet``.
    columns
        Names, types and units of all columns.

    Examples
    --------
    >>> import tempfile
    >>> from corroscope.tables import EVENTS
    >>> rows = {"event": ["death"], "frame": [3], "time_s": [2.5], "pit": [1], "track": [0]}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with TableWriter(Path(folder, "events"), EVENTS) as table:
    ...         table.write(pd.DataFrame(rows))
    ...     pd.read_csv(Path(folder, "events.csv")).shape
    (1, 5)
    """

    def __init__(self, stem: str | Path, columns: Sequence[Column]) -> None:
        self._stem = Path(stem)
        self._columns = columns
        self._files = contextlib.ExitStack()

    def __enter__(self) -> "TableWriter":
        with contextlib.ExitStack() as files:
            self._csv = files.enter_context(replacing(self._stem.with_suffix(".csv")))
            self._parquet = files.enter_context(replacing(self._stem.with_suffix(".parquet")))
            self._writer: pq.ParquetWriter | None = None
            # Closed within the two contexts: what goes wrong then is an error of the file.
            files.callback(self._close)
            self._files = files.pop_all()
        return self

    def write(self, rows: pd.DataFrame) -> None:
        """Add rows.

        Parameters
        ----------
        rows
            All of the columns, in any order; others are left out.
        """
        columns = self._columns
        rows = rows[[column.name for column in columns]].astype(
            {column.name: column.dtype for column in columns}
        )
        table = pa.Table.from_pandas(rows, preserve_index=False)
        fields = [
            field.with_metadata({"unit": column.unit, "meaning": column.meaning})
            for field, column in zip(table.schema, columns, strict=True)
        ]
        schema = pa.schema(fields, metadata=table.schema.metadata)
        first = self._writer is None
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._parquet, schema)
        self._writer.write_table(table.cast(schema))
        rows.to_csv(
            self._csv, mode="w" if first else "a", header=first, index=False, float_format="%.9g"
        )

    def __exit__(self, *error: Any) -> None:
        if self._writer is None and error[0] is None:
            self.write(pd.DataFrame(columns=[column.name for column in self._columns]))
        self._files.__exit__(*error)

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()


def write_table(stem: str | Path, rows: pd.DataFrame, columns: Sequence[Column]) -> None:
    """Write a table as CSV and as Parquet with units, whole or not at all.

    Parameters
    ----------
    stem
        The files, without ``.csv`` and ``.parquet``.
    rows
        The table.
    columns
        As for `TableWriter`.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    with TableWriter(stem, columns) as table:
        table.write(rows)
