"""Decoding: `FrameDecoder` decodes and transcodes frames; compressed ones in processes of their own.

May import `codecs`, `pixels` and `errors`. Codecs and numpy are loaded when the first frame is decoded.
"""
