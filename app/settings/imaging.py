"""Settings of decoding and transcoding of images."""

from __future__ import annotations

from dataclasses import dataclass

from app.settings.declaration import SettingsGroup, setting, whole_number


@dataclass(frozen=True, kw_only=True)
class ImagingSettings(SettingsGroup):
    """How many processes decode compressed frames, and what a frame may cost."""

    decoding_processes: int = setting(
        0,
        whole_number(0, 256),
        "Number of processes in which each server process decodes compressed frames. "
        "`0` means one for each CPU, but at most four.",
    )
    decoding_seconds: int = setting(
        60, whole_number(1, 3600), "Time in which a frame must be decoded. A request waits as long for a free process."
    )
    decoding_memory_bytes: int = setting(
        1 << 30,
        whole_number(64 << 20),
        "Memory that a process may use to decode a frame. A frame that needs more is answered with 406.",
    )
