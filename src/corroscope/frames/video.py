"""Frames and timestamps of a video, through PyAV (FFmpeg)."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from corroscope.errors import FrameError, MissingExtraError
from corroscope.frames.reading import decoding, to_grey

if TYPE_CHECKING:
    import av.video.frame

SUFFIXES = (".mp4", ".avi", ".mov", ".mkv")
"""Endings of the files that are taken for videos."""

_AS_STORED = ("gray", "gray10le", "gray12le", "gray16le")
"""Pixel formats that are grey frames already."""


class _Packet(NamedTuple):
    """One coded frame: when it is shown, and whether decoding can begin with it."""

    stamp: int
    is_key: bool
    is_shown_later: bool
    duration: int


class Video:
    """The frames of one video, kept open; each is decoded when it is asked for.

    Opening reads the timestamps of all packets and decodes none. Frames asked for in
    their order are decoded once; any other is reached from the key frame before it.

    Parameters
    ----------
    path
        The file.

    Attributes
    ----------
    places : list of tuple
        For each frame in order of time, the file and the frame's number in it.
    time_s : ndarray of float64
        ``(frames,)``, timestamps of the frames.
    clock : str
        "video".
    remarks : list of str
        What is out of the ordinary.
    broken : str
        Where the file breaks off; empty if it is whole.

    Raises
    ------
    FrameError
        If this is no video.
    MissingExtraError
        If PyAV is not installed.

    Notes
    -----
    The frames of AVI have no timestamps, only an order of decoding. Where that is not
    the order of showing (B-frames), frames are counted from the start of the file, so
    that going back is slow.

    Examples
    --------
    >>> import av, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with av.open(f"{folder}/run.mkv", "w") as container:
    ...         stream = container.add_stream("ffv1", rate=2, options={"slices": "1"})
    ...         stream.width, stream.height, stream.pix_fmt = 20, 16, "gray"
    ...         for grey in (10, 20, 30):
    ...             pixels = np.full((16, 20), grey, np.uint8)
    ...             frame = av.VideoFrame.from_ndarray(pixels, format="gray")
    ...             container.mux(stream.encode(frame))
    ...         container.mux(stream.encode())
    ...     video = Video(Path(f"{folder}/run.mkv"))
    ...     grey = int(video.read(2)[0, 0])
    ...     video.close()
    >>> video.time_s.tolist(), grey
    ([0.0, 0.5, 1.0], 30)
    """

    def __init__(self, path: Path) -> None:
        try:
            import av
        except ImportError:
            raise MissingExtraError(
                f"{path}: reading videos needs PyAV; pip install 'corroscope[video]'"
            ) from None
        self._open = av.open
        self._failure = av.FFmpegError
        self.path = path
        self.clock = "video"
        self.remarks: list[str] = []
        self.broken = ""
        self._decoded: Iterator[tuple[int, av.video.frame.VideoFrame]] | None = None
        self._next = 0
        self._start()
        try:
            with decoding(path, "video"):
                self._survey()
        except BaseException:
            self.close()
            raise
        self.places: list[tuple[Path, int | None]] = [
            (path, number) for number in range(self.time_s.size)
        ]

    def read(self, number: int) -> NDArray[np.uint8 | np.uint16 | np.float32]:
        """Decode one frame.

        Parameters
        ----------
        number
            Its number in order of time.

        Returns
        -------
        ndarray of uint8 or uint16
            ``(height, width)``. Grey formats as stored; colour by luma, in the full
            range of 8 or 16 bits.

        Raises
        ------
        FrameError
            If the frame cannot be decoded.
        """
        label = f"{self.path}[{number}]"
        try:
            with decoding(label, "video"):
                frame = self._reach(number)
                if frame.is_corrupt:
                    raise ValueError("parts of the frame are missing")
                return to_grey(_pixels(frame), label)
        except FrameError:
            self._decoded = None  # a decoder that failed is not to be trusted for the next frame
            raise

    def close(self) -> None:
        """Close the file."""
        self._decoded = None
        self._container.close()

    def _start(self) -> None:
        with decoding(self.path, "video"):
            self._container = self._open(str(self.path))

    def _survey(self) -> None:
        streams = self._container.streams.video
        if not streams:
            raise FrameError(f"{self.path}: holds no video; give a file with pictures")
        packets, damaged = self._list_packets()
        if not packets:
            raise FrameError(f"{self.path}: no frame in it can be read; copy the file anew")
        packets.sort(key=lambda packet: packet.stamp)
        self._stamps = np.asarray([packet.stamp for packet in packets], np.int64)
        self._keys = np.flatnonzero([packet.is_key for packet in packets])
        # Without stamps of their own, frames are known by their place alone.
        reordered = any(packet.is_shown_later for packet in packets)
        self._counted = reordered or bool((np.diff(self._stamps) == 0).any())
        stream = streams[0]
        base = float(stream.time_base or 1)
        self.time_s = (self._stamps - self._stamps[0]) * base
        longest = max(packet.duration for packet in packets)
        longest = max(longest, int(np.diff(self._stamps).max(initial=0)))
        missing = self._declared_end(base) - (int(self._stamps[-1]) + longest)
        if damaged or missing > longest / 2 + 1 or self._declared_frames() > len(packets):
            lasted = f"{len(packets)} frames, {self.time_s[-1]:.4g} s"
            self.broken = f"the video breaks off after {lasted}"
            self.remarks.append(self.broken)

    def _list_packets(self) -> tuple[list[_Packet], bool]:
        """The packets in the order of decoding, and whether some are damaged."""
        packets: list[_Packet] = []
        is_avi = self._is_avi()
        try:
            for packet in self._container.demux(self._container.streams.video[0]):
                if packet.is_corrupt and packet.size:
                    return packets, True
                stamp = packet.dts if is_avi or packet.pts is None else packet.pts
                if packet.size == 0 or packet.is_discard:
                    continue
                if stamp is None:
                    raise FrameError(f"{self.path}: has frames without time; convert it to MP4")
                later = packet.pts != stamp
                duration = packet.duration or 0
                packets.append(_Packet(stamp, packet.is_keyframe, later, duration))
        except self._failure:
            return packets, True
        return packets, False

    def _is_avi(self) -> bool:
        return self._container.format.name == "avi"

    def _declared_frames(self) -> int:
        # In AVI a time without a frame counts as one.
        return 0 if self._is_avi() else self._container.streams.video[0].frames

    def _declared_end(self, base: float) -> int:
        """When the video should end, in its own units; 0 if it does not tell."""
        stream = self._container.streams.video[0]
        begin = stream.start_time or 0
        if self._is_avi():  # whose other figures FFmpeg makes up from the size of the file
            return begin + stream.frames
        if stream.duration:
            return begin + stream.duration
        if self._container.duration and len(self._container.streams) == 1:
            return begin + round(self._container.duration / 1e6 / base)
        return 0

    def _reach(self, number: int) -> "av.video.frame.VideoFrame":
        before = self._keys[self._keys <= number]
        key = int(before[-1]) if before.size and not self._counted else 0
        if self._decoded is None or number < self._next or key > self._next:
            self._seek(key)
        found = self._advance(number)
        if found is None and key > 0:
            # The seek led past the frame; from the start it cannot.
            self._seek(0)
            found = self._advance(number)
        if found is None:
            raise ValueError("the frame cannot be decoded")
        return found

    def _seek(self, key: int) -> None:
        if key == 0:
            self._container.close()
            self._start()
        else:
            stream = self._container.streams.video[0]
            self._container.seek(int(self._stamps[key]), stream=stream)
        self._decoded = self._decode()
        self._next = key

    def _advance(self, number: int) -> "av.video.frame.VideoFrame | None":
        assert self._decoded is not None
        for found, frame in self._decoded:
            self._next = found + 1
            if found == number:
                return frame
            if found > number:
                return None
        return None

    def _decode(self) -> Iterator[tuple[int, "av.video.frame.VideoFrame"]]:
        """Frames from here on, with their numbers."""
        for place, frame in enumerate(self._frames()):
            if self._counted:
                yield place, frame
            elif frame.pts is not None:
                number = int(np.searchsorted(self._stamps, frame.pts))
                if number < self._stamps.size and self._stamps[number] == frame.pts:
                    yield number, frame

    def _frames(self) -> Iterator["av.video.frame.VideoFrame"]:
        stream = self._container.streams.video[0]
        try:
            for packet in self._container.demux(stream):
                if not packet.is_corrupt:
                    yield from packet.decode()
        except self._failure:
            # What the decoder still holds was whole.
            yield from stream.codec_context.decode(None)
            raise


def _pixels(frame: "av.video.frame.VideoFrame") -> NDArray[np.uint8 | np.uint16]:
    kind = frame.format
    if kind.name in _AS_STORED:
        pixels = frame.to_ndarray()
    else:
        deep = max(component.bits for component in kind.components) > 8
        if kind.is_rgb or kind.has_palette:
            pixels = frame.to_ndarray(format="rgb48le" if deep else "rgb24")
        else:
            pixels = frame.to_ndarray(format="gray16le" if deep else "gray")
    return cast("NDArray[np.uint8 | np.uint16]", pixels)
