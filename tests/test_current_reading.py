"""Records of current: against independent readers, in many spellings, and with what is wrong."""

import warnings
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from galvani.BioLogic import MPTfile
from gamry_parser import GamryParser
from numpy.typing import NDArray

from corroscope.current.reading import read_current
from corroscope.current.record import Current
from corroscope.errors import CurrentError
from corroscope.synthesis.current import potentiostat_text
from corroscope.synthesis.settings import Cell

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to_file(text: str, name: str = "current.csv", encoding: str = "utf-8") -> Path:
        path = tmp_path / name
        path.write_bytes(text.encode(encoding))
        return path

    return to_file


def mpt(
    rows: list[list[str]],
    names: tuple[str, ...] = ("mode", "time/s", "control/V", "Ewe/V", "<I>/mA"),
    *,
    started: str = "01/15/2024 18:27:54.446",
    area: str = "0.785 cm²",
) -> str:
    """A text file as EC-Lab exports it, with Windows line ends and tabs at row ends."""
    head = [
        "EC-Lab ASCII FILE",
        "",
        "",
        "Chronoamperometry / Chronocoulometry",
        "",
        "Run on channel : 3 (SN 12345)",
        f"Acquisition started on : {started}",
        "Saved on :",
        "\tFile : pit_03.mpr",
        f"Electrode surface area : {area}",
        "dI                  5,000",
        "unit dI             µA",
        "Number of loops : 2",
        "Loop 0 from point number 0 to 2",
        "",
        "\t".join(names) + "\t",
    ]
    head[1] = f"Nb header lines : {len(head)}"
    return "\r\n".join([*head, *("\t".join(row) for row in rows)]) + "\r\n"


def mpt_rows(rng: np.random.Generator, n: int = 60, mark: str = ".") -> list[list[str]]:
    rows = []
    for k in range(n):
        numbers = [0.05 * k + 1e-7, 0.3, 0.3 + rng.normal(0, 1e-3), rng.normal(2e-3, 1e-4)]
        rows.append(["2", *(f"{x:.9E}".replace(".", mark) for x in numbers)])
    return rows


def dta(
    tables: list[tuple[str, list[list[str]]]],
    *,
    names: str = "Pt\tT\tVf\tIm\tVu\tSig\tAch\tIERange\tOver",
    units: str = "#\ts\tV vs. Ref.\tA\tV\tV\tV\t#\tbits",
    tag: str = "CHRONOA",
    date: str = "1/15/2024",
) -> str:
    head = [
        "EXPLAIN",
        f"TAG\t{tag}",
        "TITLE\tLABEL\tChronoamperometry Scan\tTest &Identifier",
        f"DATE\tLABEL\t{date}\tDate",
        "TIME\tLABEL\t18:27:54\tTime",
        "AREA\tQUANT\t0.5\tSample Area (cm^2)",
        "NOTES\tNOTES\t1\t&Notes...",
        "\ta pit",
    ]
    for name, rows in tables:
        head += [f"{name}\tTABLE\t{len(rows)}", "\t" + names, "\t" + units]
        head += ["\t" + "\t".join(row) for row in rows]
    return "\r\n".join(head) + "\r\n"


def dta_rows(
    rng: np.random.Generator, n: int = 40, first_s: float = 0.0, first: int = 0
) -> list[list[str]]:
    return [
        [
            str(first + k),
            f"{first_s + 0.1 * k:.6g}",
            f"{0.3 + rng.normal(0, 1e-3):.6E}",
            f"{rng.normal(2e-6, 1e-7):.6E}",
            "0",
            "0",
            "0",
            "8",
            "...........",
        ]
        for k in range(n)
    ]


def same(found: NDArray[np.float64], told: NDArray[np.float64]) -> bool:
    return found.shape == told.shape and bool(np.allclose(found, told, rtol=1e-9, atol=0))


@pytest.mark.parametrize("mark", [".", ","])
@pytest.mark.parametrize("encoding", ["cp1252", "latin-1"])
def test_mpt_equals_galvani(
    write: Write, rng: np.random.Generator, mark: str, encoding: str
) -> None:
    path = write(mpt(mpt_rows(rng, mark=mark)), "pit.mpt", encoding)
    found = read_current(path)
    with path.open("rb") as file:
        told, _ = MPTfile(file)
    assert same(found.time_s, told["time/s"])
    assert same(found.current_ua, told["I/mA"] * 1e3)
    assert found.potential_v is not None
    assert same(found.potential_v, told["Ewe/V"])
    assert found.started == datetime(2024, 1, 15, 18, 27, 54, 446000)
    assert found.area_cm2 == pytest.approx(0.785)
    assert found.source.technique == "Chronoamperometry / Chronocoulometry"
    assert (found.source.current_unit, found.source.unit_given) == ("mA", False)


def test_dta_equals_gamry_parser(write: Write, rng: np.random.Generator) -> None:
    tables = [("CURVE", dta_rows(rng)), ("CURVE2", dta_rows(rng, first_s=4.0))]
    path = write(dta(tables), "pit.DTA", "cp1252")
    found = read_current(path)
    parser = GamryParser()
    parser.load(str(path))
    curves = parser.get_curves()
    assert len(curves) == 2
    assert same(found.time_s, np.concatenate([c["T"].to_numpy(float) for c in curves]))
    assert same(found.current_ua, 1e6 * np.concatenate([c["Im"].to_numpy(float) for c in curves]))
    assert found.potential_v is not None
    assert same(found.potential_v, np.concatenate([c["Vf"].to_numpy(float) for c in curves]))
    assert found.started == datetime(2024, 1, 15, 18, 27, 54)
    assert found.area_cm2 == 0.5
    assert any("2 tables (CURVE to CURVE2) are joined" in remark for remark in found.remarks)


def test_what_synth_writes_comes_back(write: Write, rng: np.random.Generator) -> None:
    time_s, current_ua = np.arange(-2, 5, 0.1), rng.normal(2, 0.1, 70)
    found = read_current(write(potentiostat_text(time_s, current_ua, Cell()), "current.mpt"))
    assert np.allclose(found.time_s, time_s + 2, atol=1e-4)
    assert np.allclose(found.current_ua, current_ua, atol=1e-5)
    assert found.started == datetime(2024, 1, 15, 18, 27, 54, 446000)


@pytest.mark.parametrize(
    ("header", "scale"),
    [
        ("time/s;I/mA", 1e3),
        ("Time (s);I (A)", 1e6),
        ("Time [sec];Current/µA", 1.0),
        ("t/s;Current/\u03bcA", 1.0),
        ("Corrected time (s);WE(1).Current (A)", 1e6),
        ("Elapsed Time (seconds);<I>/nA", 1e-3),
        ("time_s;current_ua", 1.0),
        ("Zeit in s;Strom in mA", 1e3),
        ("temps/s;courant/uA", 1.0),
    ],
)
def test_units_in_many_spellings(write: Write, header: str, scale: float) -> None:
    found = read_current(write(f"{header}\n0;1,5\n0,5;2,5\n"))
    assert found.current_ua == pytest.approx([1.5 * scale, 2.5 * scale])
    assert found.time_s.tolist() == [0.0, 0.5]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16", "latin-1"])
@pytest.mark.parametrize(("separator", "mark"), [("\t", ","), (";", ","), (",", "."), ("\t", ".")])
def test_encodings_and_separators(write: Write, encoding: str, separator: str, mark: str) -> None:
    rows = [["time/min", "E/mV", "I/µA"], ["0", "300", "1.5"], ["0.5", "301", "2.5"]]
    text = "\n".join(separator.join(row).replace(".", mark) for row in rows)
    found = read_current(write(text, encoding=encoding))
    assert found.time_s.tolist() == [0.0, 30.0]
    assert found.current_ua.tolist() == [1.5, 2.5]
    assert found.potential_v == pytest.approx([0.3, 0.301])


def test_units_in_the_row_below(write: Write) -> None:
    found = read_current(write("a note\nTime,Current\n(s),(mA)\n0,1\n1,2\n"))
    assert found.current_ua.tolist() == [1000.0, 2000.0]
    assert found.source.current_unit == "mA"


def test_both_times_of_autolab(write: Write) -> None:
    text = "Time (s);Corrected time (s);WE(1).Current (A)\n100;0;1E-6\n101;1;2E-6\n"
    assert read_current(write(text)).time_s.tolist() == [0.0, 1.0]


def test_columns_and_unit_as_told(write: Write) -> None:
    path = write("when/s,channel 1,I1/mA,I2/mA\n0,5,1,2\n1,6,1,2\n")
    found = read_current(path, unit="nA", time_column="when/s", current_column="channel 1")
    assert found.current_ua == pytest.approx([5e-3, 6e-3])
    assert found.source.unit_given
    assert read_current(
        write("t/s,I1/mA,I2/mA\n0,1,2\n1,1,2\n"), current_column="I2/mA"
    ).current_ua.tolist() == [2000.0, 2000.0]


def test_absolute_times(write: Write) -> None:
    text = "date;I/mA\n15.01.2024 23:59:59,5;1,5\n16.01.2024 00:00:00,25;2,5\n"
    found = read_current(write(text))
    assert found.time_s.tolist() == [0.0, 0.75]
    assert found.started == datetime(2024, 1, 15, 23, 59, 59, 500000)
    assert not found.clock_alone
    text = "timestamp,I/mA\n2024-03-04T10:00:00.5Z,1\n2024-03-04T10:00:02Z,2\n"
    found = read_current(write(text))
    assert (found.time_s.tolist(), found.started_otherwise) == ([0.0, 1.5], None)


def test_a_clock_that_passes_midnight(write: Write) -> None:
    found = read_current(write("clock;I/mA\n23:59:58;1\n23:59:59,5;1,5\n00:00:01;2\n"))
    assert found.time_s.tolist() == [0.0, 1.5, 3.0]
    assert found.clock_alone
    assert found.remarks == ("its clock passes midnight before line 4",)


def test_mpt_with_absolute_times(write: Write) -> None:
    rows = [["01/15/2024 18:28:00.0", "0.001"], ["01/15/2024 18:28:00.5", "0.002"]]
    found = read_current(write(mpt(rows, ("time/s", "I/mA")), "a.mpt", "cp1252"))
    assert found.time_s.tolist() == [0.0, 0.5]
    assert found.started == datetime(2024, 1, 15, 18, 28)


@pytest.mark.parametrize(
    ("text", "first", "otherwise"),
    [
        ("03/04/2024 10:00:00", datetime(2024, 3, 4, 10), datetime(2024, 4, 3, 10)),
        ("03-25-2024 10:00:00.5", datetime(2024, 3, 25, 10, 0, 0, 500000), None),
        ("25.03.2024 10:00:00,5", datetime(2024, 3, 25, 10, 0, 0, 500000), None),
        ("2024-03-04 10:00:00", datetime(2024, 3, 4, 10), None),
        ("03/03/2024 10:00:00 PM", datetime(2024, 3, 3, 22), None),
    ],
)
def test_orders_of_dates(
    write: Write, text: str, first: datetime, otherwise: datetime | None
) -> None:
    rows = [["0", "1"], ["1", "1"]]
    path = write(mpt(rows, ("time/s", "I/mA"), started=text), "a.mpt", "cp1252")
    found = read_current(path)
    assert (found.started, found.started_otherwise) == (first, otherwise)
    assert any("day and month are left open" in r for r in found.remarks) == (otherwise is not None)


def test_days_next_to_each_other_tell_the_order(write: Write) -> None:
    # With the month first, these would be a month apart.
    text = "date;I/mA\n03/04/2024 23:00:00;1\n04/04/2024 01:00:00;2\n"
    found = read_current(write(text))
    assert found.time_s.tolist() == [0.0, 7200.0]
    assert found.started == datetime(2024, 4, 3, 23)
    assert found.started_otherwise is None


def test_what_cannot_be_read_of_a_header_is_told(write: Write) -> None:
    rows = [["0", "1"], ["1", "1"]]
    text = mpt(rows, ("time/s", "I/mA"), started="yesterday", area="0,001 cm²")
    found = read_current(write(text, "a.mpt", "cp1252"))
    assert (found.started, found.area_cm2) == (None, None)
    assert len(found.remarks) == 2
    text = dta([("CURVE", [["0", "0", "1", "1"], ["1", "1", "1", "1"]])], date="soon")
    text = text.replace("\tVu\tSig\tAch\tIERange\tOver", "").replace("\tV\tV\tV\t#\tbits", "")
    found = read_current(write(text, "a.DTA"))
    assert (found.started, found.remarks) == (
        None,
        ("when it started cannot be read from its DATE and TIME",),
    )


def test_decimal_commas_of_gamry(write: Write, rng: np.random.Generator) -> None:
    text = dta([("CURVE", dta_rows(rng))])
    plain = read_current(write(text, "a.DTA"))
    comma = text.replace(".", ",").replace("vs,", "vs.")
    found = read_current(write(comma, "b.DTA"))
    assert np.array_equal(found.current_ua, plain.current_ua)
    assert np.array_equal(found.time_s, plain.time_s)


def test_the_open_circuit_before_is_left_out(write: Write, rng: np.random.Generator) -> None:
    text = dta([("CURVE", dta_rows(rng))])
    before = "OCVCURVE\tTABLE\t2\r\n\tPt\tT\tVf\r\n\t#\ts\tV\r\n\t0\t0\t0.1\r\n\t1\t1\t0.1\r\n"
    found = read_current(write(text.replace("CURVE\tTABLE", before + "CURVE\tTABLE", 1), "a.DTA"))
    assert found.current_ua.size == 40


# What is repaired, and told.


def told(found: Current) -> str:
    return " | ".join(found.remarks)


def test_rows_that_repeat_are_left_out(write: Write) -> None:
    found = read_current(write("time/s,I/mA\n0,1\n1,2\n1,2\n1,2\n2,3\n"))
    assert found.time_s.tolist() == [0.0, 1.0, 2.0]
    assert told(found) == "2 rows repeated the one before, left out: lines 4, 5"


def test_few_times_that_repeat_are_averaged(write: Write) -> None:
    rows = "".join(f"{k},1\n" for k in range(20))
    found = read_current(write("time/s,I/mA,E/V\n" + rows.replace(",1", ",1,0") + "19,3,1\n"))
    assert found.current_ua[-1] == 2000.0
    assert found.potential_v is not None
    assert found.potential_v[-1] == 0.5
    assert "1 row with the time of the one before but another current, averaged" in told(found)


def test_rows_without_a_number_are_left_out(write: Write) -> None:
    found = read_current(write("time/s,I/mA\n0,1\n1,NaN\n2,\n3,inf\n4,1.#IND\n5,2\n"))
    assert found.time_s.tolist() == [0.0, 5.0]
    assert told(found).startswith("4 rows without a finite time or current are left out")


def test_a_last_line_that_is_cut_off(write: Write) -> None:
    found = read_current(write("time/s,I/mA,E/V\n0,1,1\n1,2,1\n2,3"))
    assert found.time_s.tolist() == [0.0, 1.0]
    assert told(found) == "the last line, 4, is cut off and left out"


def test_an_aborted_measurement_is_told(write: Write, rng: np.random.Generator) -> None:
    text = dta([("CURVE", dta_rows(rng))]) + "EXPERIMENTABORTED\tTOGGLE\tT\tExperiment Aborted\r\n"
    assert "the measurement was aborted" in read_current(write(text, "a.DTA")).remarks


# What is wrong, in one line that says what, where and what to do.

GOOD = "time/s,I/mA\n0,1\n1,2\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "current.csv is empty; give"),
        ("  \n\n", "current.csv is empty; give"),
        ("0,1\n1,2\n", "no line that names a time and a current; name"),
        ("time/s,E/V\n0,1\n1,2\n", "no line that names a time and a current, only time/s, E/V"),
        ("a,I/mA\n0,1\n", "only a, I/mA"),
        ("time/s,I\n0,1\n1,2\n", "column 'I' has no unit; give it, as in --current-unit mA"),
        ("time/s,I/foo\n0,1\n1,2\n", "column 'I/foo' has an unknown unit, 'foo'; give it"),
        ("time,I/mA\n0,1\n1,2\n", "column 'time' has no unit; write it into the name"),
        ("time/d,I/mA\n0,1\n1,2\n", "column 'time/d' has an unknown unit, 'd'"),
        ("time/s,j (mA/cm²)\n0,1\n1,2\n", "'j (mA/cm²)' is a current per area; multiply"),
        ("time/s,I (mA cm-2)\n0,1\n1,2\n", "is a current per area; multiply"),
        ("time/s,I1/mA,I2/mA\n0,1,2\n1,2,2\n", "several columns of current: I1/mA, I2/mA; name"),
        ("time/s,t/s,I/mA\n0,1,2\n1,2,2\n", "several columns of time: time/s, t/s; name"),
        ("time/s,I/mA\n", "no row below its column names; give"),
        ("time/s,I/mA\n0,1\n", "has 1 usable row; a record needs at least two"),
        ("time/s,I/mA\n0,1\n1,nan\n", "has 1 usable row; a record"),
        ("time/s,I/mA\n0,nan\n1,nan\n", "has 0 usable rows; a record"),
        ("time/s,I/mA\n0,1\n1,x\n2,1\n", "line 3: 'x' is no number; mend"),
        ("time/s,I/mA\n0,1\n1,2,3\n2,1\n", "line 3 has 3 values for 2 columns; mend"),
        ("time/s,I/mA\n0,5,1,5\n1,5,2,5\n", "line 2 has 4 values for 2 columns; mend"),
        ("time/s;I/mA\n0,5;1.5\n1;2\n", "line 2 has a decimal comma and line 2 a decimal point"),
        ("time/s;I/mA\n0;1.500,5\n1;2\n", "'1.500,5' is no number"),
        ("time/s,I/mA\n0,1\n5,2\n3,1\n", "line 4: time goes back, from 5 to 3 s; if"),
        ("time/s,I/mA\n0,1\n5,2\n0,1\n", "line 4: time goes back again, from 5 to 0 s; if"),
        (GOOD + GOOD, "line 4 names the columns again; if these are several records"),
        ("time/s,I/mA\n0,1\n0,2\n0,3\n1,1\n", "2 of 4 rows have the time of the row before"),
        ("date,I/mA\n2024-01-01 1:00:00,1\nlater,2\n", "line 3: 'later' is no date with a time"),
        ("clock,I/mA\n10:00:00,1\n25:00:00,2\n", "line 3: '25:00:00' is no time of day"),
        ("date,I/mA\n31/31/2024 10:00:00,1\n", "line 2: '31/31/2024 10:00:00' is no date"),
    ],
)
def test_what_is_wrong_is_told(write: Write, text: str, message: str) -> None:
    with pytest.raises(CurrentError) as caught:
        read_current(write(text))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "current.csv" in str(caught.value)


def test_dates_that_contradict_each_other(write: Write) -> None:
    text = "date,I/mA\n13/01/2024 10:00:00,1\n01/13/2024 10:00:01,2\n"
    with pytest.raises(CurrentError, match="is no date with a time"):
        read_current(write(text))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"unit": "V"}, "'V' is no unit of current; give one of A, mA"),
        ({"unit": "µA"}, "column 'I/mA' is in mA, but µA was given; leave"),
        ({"current_column": "J"}, "no line that names"),
        ({"time_column": "when"}, "no line that names"),
    ],
)
def test_what_is_told_wrongly(write: Write, asked: dict[str, str], message: str) -> None:
    with pytest.raises(CurrentError, match=message):
        read_current(write(GOOD), **asked)


def test_columns_that_an_mpt_file_lacks(write: Write, rng: np.random.Generator) -> None:
    path = write(mpt(mpt_rows(rng)), "a.mpt", "cp1252")
    with pytest.raises(CurrentError, match=r"no column 'I/mA'; it has mode, time/s"):
        read_current(path, current_column="I/mA")
    with pytest.raises(CurrentError, match=r"a.mpt has no column of current, only time/s, Ewe/V"):
        read_current(write(mpt([["0", "1"]], ("time/s", "Ewe/V")), "a.mpt", "cp1252"))
    with pytest.raises(CurrentError, match=r"a.mpt has no column of time, only I/mA, Ewe/V"):
        read_current(write(mpt([["0", "1"]], ("I/mA", "Ewe/V")), "a.mpt", "cp1252"))
    with pytest.raises(CurrentError, match=r"a.mpt: 'I/mA/cm²' is a current per area"):
        read_current(write(mpt([["0", "1"]], ("time/s", "I/mA/cm²")), "a.mpt", "cp1252"))
    with pytest.raises(CurrentError, match="is a current per area; multiply"):
        read_current(
            write(mpt([["0", "1"]], ("time/s", "I/mA/cm²")), "a.mpt", "cp1252"),
            current_column="I/mA/cm²",
        )


def test_the_mean_current_of_a_step_comes_first(write: Write) -> None:
    rows = [["0", "1", "2"], ["1", "1", "2"]]
    found = read_current(write(mpt(rows, ("time/s", "I/mA", "<I>/mA")), "a.mpt", "cp1252"))
    assert found.source.current_column == "<I>/mA"
    assert found.current_ua.tolist() == [2000.0, 2000.0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("EC-Lab ASCII FILE\ntime/s\tI/mA\n", "line 2 does not tell 'Nb header lines'; export"),
        ("EC-Lab ASCII FILE\n", "line 2 does not tell 'Nb header lines'; export"),
        ("EC-Lab ASCII FILE\nNb header lines : 90\n\n", "tells 90 header lines, but .* 3 lines"),
    ],
)
def test_broken_headers_of_mpt(write: Write, text: str, message: str) -> None:
    with pytest.raises(CurrentError, match=message):
        read_current(write(text, "a.mpt"))


def test_binary_files(tmp_path: Path) -> None:
    path = tmp_path / "a.mpt"  # the content decides, not the name
    path.write_bytes(b"BIO-LOGIC MODULAR FILE\x1a\x00\x00")
    with pytest.raises(CurrentError, match=r"binary file of EC-Lab \(.mpr\); export it as text"):
        read_current(path)
    path.write_bytes(b"PK\x03\x04\x00\x00")
    with pytest.raises(CurrentError, match=r"is a binary file \(byte 4 is zero\); export"):
        read_current(path)
    path.write_bytes(b"\xff\xfeI\x00/")
    with pytest.raises(CurrentError, match="is marked as utf-16 but byte 4 is not"):
        read_current(path)
    with pytest.raises(CurrentError, match=r"missing.mpt cannot be read: No such file"):
        read_current(tmp_path / "missing.mpt")


def test_bytes_that_no_code_page_has(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"note \x81\ntime/s;I/\xb5A\n0;1\n1;2\n")
    found = read_current(path)
    assert (found.source.encoding, found.current_ua.tolist()) == ("latin-1", [1.0, 2.0])


def test_gamry_files_that_say_nothing(write: Write, rng: np.random.Generator) -> None:
    with pytest.raises(CurrentError, match=r"a.DTA has no table \(CURVE TABLE\); save"):
        read_current(write(dta([]), "a.DTA"))
    rows = [["0", "0", "0.1"], ["1", "1", "0.1"]]
    text = dta([("CURVE", rows)], names="Pt\tT\tVf", units="#\ts\tV", tag="CORPOT")
    with pytest.raises(CurrentError, match=r"a.DTA has no current \(CORPOT\), only Pt, T, Vf"):
        read_current(write(text, "a.DTA"))
    text = dta([("CURVE1", dta_rows(rng)), ("CURVE2", dta_rows(rng))])
    with pytest.raises(CurrentError, match=r"line \d+: time goes back again, from 3.9 to 0 s"):
        read_current(write(text, "a.DTA"))
    both = text.split("CURVE2")
    other = both[0] + "CURVE2" + both[1].replace("\tA\tV", "\tmA\tV")
    with pytest.raises(CurrentError, match="CURVE2 has other columns or units than CURVE1"):
        read_current(write(other, "a.DTA"))


def test_no_reader_warns(write: Write, rng: np.random.Generator) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_current(write(mpt(mpt_rows(rng)), "a.mpt", "cp1252"))
