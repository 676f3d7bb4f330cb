"""Videos: `container` tells what a stream is, `nal_units` and `h264` read raw H.264, `mp4` puts it into an MP4 file.

May import `errors`.
"""
