"""Rendering: samples and attributes become an 8-bit picture, and the picture becomes the bytes of an image file.

`parameters` says what a caller asks for; it imports neither numpy nor a codec. May import `imaging.decoding` and the
topics below it, `dicom` and `errors`.
"""
