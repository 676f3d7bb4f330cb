"""Bytes of DICOM files: elements, transfer syntaxes, character sets, the places of frames, transcoding (PS3.5, PS3.10).

May import `errors` and nothing of the other topics of `dicom`.
"""
