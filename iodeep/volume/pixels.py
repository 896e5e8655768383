"""Pixels of checked files -> one array of rescaled values; every frame is decoded on its own, straight into its slice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from pydicom import dcmread
from pydicom.encaps import generate_frames
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.utils import as_pixel_options
from pydicom.uid import JPEG2000TransferSyntaxes, JPEGLSTransferSyntaxes

from iodeep.errors import CancelledError, InputError
from iodeep.ports import Cancellation, Progress, ProgressSink
from iodeep.volume.checks import frame_count
from iodeep.volume.codestream import coded_size, states_size
from iodeep.volume.frames import Frame
from iodeep.volume.image_file import ImageFile
from iodeep.volume.rescaled import RescaledVoxels

Stored = npt.NDArray[np.integer[Any]]


def read_voxels(
    files: Sequence[ImageFile],
    frames: Sequence[Frame],
    shape: tuple[int, int, int],
    progress: ProgressSink,
    cancel: Cancellation | None,
) -> npt.NDArray[np.int16] | npt.NDArray[np.float32]:
    """Rescaled values [slice, row, column]; ``frames`` are in slice order, ``frames[k].file`` counts in ``files``.

    Errors: :class:`InputError`, :class:`CancelledError`.
    """
    places = {(frame.file, frame.index): k for k, frame in enumerate(frames)}
    voxels = RescaledVoxels(shape, [frame.rescale or (1.0, 0.0) for frame in frames])
    done = 0
    for number, file in enumerate(files):
        for index, stored in enumerate(stored_frames(file, shape[1:])):
            if cancel is not None and cancel.is_set():
                raise CancelledError(f"reading was cancelled after {done} of {shape[0]} slices")
            voxels.put(places[number, index], stored)
            done += 1
            progress(Progress("read", done, shape[0], "slices"))
    if done != shape[0]:
        raise InputError(f"{files[0].path} holds {done} of {shape[0]} frames", remedy="Send or export the file again.")
    return voxels.values


def stored_frames(file: ImageFile, shape: tuple[int, int]) -> Iterator[Stored]:
    """The stored values of each frame, decoded; codecs answer garbled bytes with any exception."""
    with file.path.open("rb") as stream:
        if stream.seek(0, 2) != file.size:
            raise InputError(f"{file.path} has changed since its header was read", remedy="Start again.")
        frames = _decoded(file, stream, shape)
        while True:
            try:
                stored = next(frames, None)
            except InputError:
                raise
            except Exception as error:  # the boundary of one frame's codec
                raise InputError(
                    f"the pixels of {file.path} cannot be decoded",
                    expected=file.pixels.transfer_syntax.name,
                    found=" ".join(str(error).split()) or type(error).__name__,
                    remedy="Send or export the file again, uncompressed if it is compressed.",
                ) from error
            if stored is None:
                return
            if stored.shape != shape:
                raise InputError(f"{file.path} decodes to {stored.shape} pixels", expected=f"{shape}")
            yield stored


def _check_coded_sizes(file: ImageFile, stream: BinaryIO, shape: tuple[int, int]) -> None:
    """Codecs allocate what a frame's own header says, so it has to agree with the data set."""
    pixels = file.pixels
    if not states_size(pixels.transfer_syntax):
        return
    count = frame_count(file.header)
    for number, frame in enumerate(generate_frames(_source(file, stream), number_of_frames=count), start=1):
        size = coded_size(frame, pixels.transfer_syntax)
        if size != shape:
            raise InputError(
                f"frame {number} of {file.path} is not what the header says",
                expected=f"{shape[0]} x {shape[1]} pixels",
                found=f"{size[0]} x {size[1]}" if size else f"no {pixels.transfer_syntax.name} frame",
                remedy="Send or export the file again.",
            )


def _decoded(file: ImageFile, stream: BinaryIO, shape: tuple[int, int]) -> Iterator[Stored]:
    _check_coded_sizes(file, stream, shape)
    decoder = get_decoder(file.pixels.transfer_syntax)
    options = as_pixel_options(file.header, pixel_keyword="PixelData", pixel_vr="OW")
    arrays = decoder.iter_array(
        _source(file, stream), raw=True, decoding_plugin=_plugin(file), validate=True, view_only=True, **options
    )
    for stored, _ in arrays:
        yield stored


def _source(file: ImageFile, stream: BinaryIO) -> BinaryIO:
    """A stream that stands at the value of the pixel data."""
    if file.pixels.offset is None:
        return BytesIO(dcmread(file.path).PixelData)
    stream.seek(file.pixels.offset)
    return stream


def _plugin(file: ImageFile) -> str:
    """The codec that is fastest where pydicom's first choice is not."""
    syntax = file.pixels.transfer_syntax
    if syntax in JPEGLSTransferSyntaxes:
        return "pyjpegls"
    return "pylibjpeg" if syntax in JPEG2000TransferSyntaxes else ""
