"""Palettes: an RGB colour for each stored value (PS3.3 C.7.9)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.dicom.encoding.attribute_reader import AttributeReader
from app.errors import ImageFailure
from app.imaging.rendering.blocks import in_blocks
from app.imaging.rendering.lookup_table import Descriptor, look_up, possible_values, read_descriptor, read_entries
from app.imaging.rendering.segmented_palette import expanded

_DESCRIPTORS: Final = (0x00281101, 0x00281102, 0x00281103)
_DATA: Final = (0x00281201, 0x00281202, 0x00281203)
_SEGMENTED_DATA: Final = (0x00281221, 0x00281222, 0x00281223)
_ALPHA_DESCRIPTOR: Final = 0x00281104
_ALPHA_DATA: Final = 0x00281204
_SEGMENTED_ALPHA_DATA: Final = 0x00281224


@dataclass(frozen=True, slots=True, eq=False)
class Palette:
    """`colours[i]` is the RGB of the stored value `first + i`. Other values have the colour of the nearest entry."""

    first: int
    colours: NDArray[np.uint8]

    @classmethod
    def of(cls, attributes: AttributeReader, *, signed: bool) -> Palette | None:
        """Return the palette of an instance, None if a colour is missing. `signed`: stored values can be negative.

        Colours with alpha are shown on black. An alpha palette without an opaque entry is ignored.
        """
        channels = [
            _channel(attributes, *tags, signed=signed)
            for tags in zip(_DESCRIPTORS, _DATA, _SEGMENTED_DATA, strict=True)
        ]
        found = [channel for channel in channels if channel is not None]
        if len(found) < 3:
            return None
        size = max(entries.size for _, entries in found)
        columns = [np.pad(entries, (0, size - entries.size), mode="edge") for _, entries in found]
        colours = _bytes(np.stack(columns, axis=1), max(descriptor.bits for descriptor, _ in found))
        alpha = _channel(attributes, _ALPHA_DESCRIPTOR, _ALPHA_DATA, _SEGMENTED_ALPHA_DATA, signed=signed)
        if alpha and alpha[1].any():
            opacity = _bytes(np.resize(alpha[1], size), alpha[0].bits).astype(np.uint16)
            colours = (colours * opacity[:, None] // 255).astype(np.uint8)
        return cls(found[0][0].first, colours)

    def rgb(self, samples: NDArray[Any]) -> NDArray[np.uint8]:
        """Return (rows, columns, 3). Raises `ImageFailure` for samples that are not integers."""
        if samples.dtype.kind not in "iu":
            raise ImageFailure("A palette needs pixels that are integers.")
        if samples.dtype.itemsize > 2:
            return in_blocks(samples, lambda block: self._table(block.astype(np.float64) - self.first), 3)
        return look_up(self._table(possible_values(samples.dtype) - self.first), samples)

    def over(self, shades: NDArray[np.uint8], samples: NDArray[Any]) -> NDArray[np.uint8]:
        """Return (rows, columns, 3): colours for samples from the first entry on, shades of gray for those below it.

        Supplemental palettes are made so (PS3.3 C.7.6.19).
        """
        return np.where((samples >= self.first)[..., None], self.rgb(samples), shades[..., None])

    def _table(self, places: NDArray[Any]) -> NDArray[np.uint8]:
        table: NDArray[np.uint8] = self.colours[np.clip(places, 0, len(self.colours) - 1).astype(np.intp)]
        return table


def _channel(
    attributes: AttributeReader, descriptor_tag: int, data_tag: int, segmented_tag: int, *, signed: bool
) -> tuple[Descriptor, NDArray[np.uint16]] | None:
    """Return the descriptor and one or more entries of a colour, None if there are none."""
    descriptor = read_descriptor(attributes, descriptor_tag, signed=signed)
    if descriptor is None:
        return None
    entries = read_entries(attributes.data(data_tag), descriptor)
    if not entries.size:
        entries = expanded(attributes.data(segmented_tag), descriptor)
    return (descriptor, entries) if entries.size else None


def _bytes(entries: NDArray[np.uint16], bits: int) -> NDArray[np.uint8]:
    """Return entries in 8 bits. Entries that say 16 bits but are all below 256 have 8 bits."""
    wide = bits > 8 and int(entries.max()) > 255
    found: NDArray[np.uint8] = (entries >> 8 if wide else np.minimum(entries, 255)).astype(np.uint8)
    return found
