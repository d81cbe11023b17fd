"""The boxes of an MP4 that tell a 360 degree player what it holds: which way the sound points, how the picture bends.

`SA3D` says that the four channels are first-order ambiX; `st3d` and `sv3d` say that the picture is an equirectangular
panorama, seen by one eye; a `uuid` box of XML says that again to players that only know the first version. They are put
into the finished file here, and its table of where the samples lie is moved along.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

SPHERICAL_UUID = bytes.fromhex("ffcc8263f8554a938814587a02521fdd")
CONTAINERS = {b"moov": 0, b"trak": 0, b"mdia": 0, b"minf": 0, b"stbl": 0, b"stsd": 8, b"avc1": 78, b"mp4a": 28,
              b"sv3d": 0, b"proj": 0}  # box -> bytes before the boxes inside it  # fmt: skip
PICTURE = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1")  # the entries that describe the two tracks
SOUND = (*PICTURE[:6], b"mp4a")
XML = """<?xml version="1.0"?><rdf:SphericalVideo xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" \
xmlns:GSpherical="http://ns.google.com/videos/1.0/spherical/"><GSpherical:Spherical>true</GSpherical:Spherical>\
<GSpherical:Stitched>true</GSpherical:Stitched><GSpherical:StitchingSoftware>visage_lite\
</GSpherical:StitchingSoftware><GSpherical:ProjectionType>equirectangular</GSpherical:ProjectionType>\
</rdf:SphericalVideo>"""


def box(name: bytes, *content: bytes) -> bytes:
    """A box: its size in four bytes, its name, its content."""
    body = b"".join(content)
    return struct.pack(">I", 8 + len(body)) + name + body


def ambisonic_box() -> bytes:
    """SA3D: version 0, periphonic, order 1, channels by ACN (0), SN3D (0), four channels in their order.

    Source: google/spatial-media, spatial-audio-rfc.
    """
    return box(b"SA3D", struct.pack(">BBIBBI4I", 0, 0, 1, 0, 0, 4, 0, 1, 2, 3))


def spherical_boxes() -> bytes:
    """st3d (one eye) and sv3d (equirectangular, whole, not turned).

    Source: google/spatial-media, spherical-video-v2-rfc.
    """
    projection = box(b"proj", box(b"prhd", bytes(16)), box(b"equi", bytes(20)))
    return box(b"st3d", bytes(5)) + box(b"sv3d", box(b"svhd", bytes(4), b"visage_lite\0"), projection)


def boxes_in(data: bytes, begin: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """(name, begin, end) of each box between two places; a ValueError where the sizes do not fit."""
    end = len(data) if end is None else end
    while begin < end:
        size = int.from_bytes(data[begin : begin + 4], "big")
        if size == 1:  # the size does not fit in four bytes and follows in eight
            size = int.from_bytes(data[begin + 8 : begin + 16], "big")
        if size < 8 or begin + size > end:
            raise ValueError(f"not an MP4: a box of {size} bytes at byte {begin}; write the file again")
        yield data[begin + 4 : begin + 8], begin, begin + size
        begin += size


def find(data: bytes, path: tuple[bytes, ...], begin: int = 0, end: int | None = None) -> list[list[tuple[int, int]]]:
    """Every way down a path of names, such as (b"moov", b"trak"): the (begin, end) of each box on it."""
    ways = []
    for name, b, e in boxes_in(data, begin, end):
        if name == path[0]:
            inside = find(data, path[1:], b + 8 + CONTAINERS.get(name, 0), e) if path[1:] else [[]]
            ways += [[(b, e), *way] for way in inside]
    return ways


def insert_spatial(data: bytes) -> bytes:
    """An MP4 (moov before mdat, one H.264 and one AAC track) with the spatial boxes in it.

    Raises: ValueError if it is another kind of file, or has the boxes already.
    """
    names = [name for name, _, _ in boxes_in(data)]
    ways = find(data, PICTURE), find(data, SOUND)
    if [len(way) for way in ways] != [1, 1] or names.index(b"moov") > names.index(b"mdat"):
        raise ValueError("the spatial boxes go into an MP4 that begins with moov and has one H.264 and one AAC track")
    if any(read_spatial(data)):
        raise ValueError("the file has spatial boxes already: start from one without them")
    picture, sound = ways[0][0], ways[1][0]
    begin, end = picture[-1]
    coded = next(e for name, _, e in boxes_in(data, begin + 8 + CONTAINERS[b"avc1"], end) if name == b"avcC")
    added = [
        (sound, sound[-1][1], ambisonic_box()), (picture, coded, spherical_boxes()),
        (picture[:2], picture[1][1], box(b"uuid", SPHERICAL_UUID, XML.encode())),
    ]
    out = bytearray(data)
    for way, _, new in added:
        for begin, _ in way:
            out[begin : begin + 4] = struct.pack(">I", int.from_bytes(out[begin : begin + 4], "big") + len(new))
    _move_samples(out, data, sum(len(new) for _, _, new in added))
    for _, place, new in sorted(added, key=lambda one: -one[1]):
        out[place:place] = new
    return bytes(out)


def _move_samples(out: bytearray, data: bytes, by: int) -> None:
    """Adds to the positions at which the tracks say that their samples lie."""
    for name, code in ((b"stco", ">I"), (b"co64", ">Q")):
        for way in find(data, (*PICTURE[:5], name)):
            begin = way[-1][0]
            for k in range(int.from_bytes(data[begin + 12 : begin + 16], "big")):
                at = begin + 16 + k * struct.calcsize(code)
                struct.pack_into(code, out, at, struct.unpack_from(code, data, at)[0] + by)


def read_spatial(data: bytes) -> tuple[bytes, bytes, bytes]:
    """The boxes that say what an MP4 holds: SA3D, st3d with sv3d, and the XML; empty where missing."""
    def content(path: tuple[bytes, ...]) -> bytes:
        return b"".join(data[way[-1][0] : way[-1][1]] for way in find(data, path))

    xml = [data[b + 24 : e] for way in find(data, (*PICTURE[:2], b"uuid")) for b, e in way[-1:]
           if data[b + 8 : b + 24] == SPHERICAL_UUID]  # fmt: skip
    return content((*SOUND, b"SA3D")), content((*PICTURE, b"st3d")) + content((*PICTURE, b"sv3d")), b"".join(xml)
