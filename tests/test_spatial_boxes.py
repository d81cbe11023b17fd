"""The boxes that a 360 degree player looks for: byte for byte as their specifications say, and where they say."""

import struct
import xml.etree.ElementTree as ElementTree

import av
import numpy as np
import pytest

from visage_lite import media, spatial_boxes
from visage_lite.spatial_boxes import boxes_in, find, insert_spatial, read_spatial

ENTRY = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("spatial") / "sphere.mp4"
    noise = 0.1 * np.random.default_rng(0).standard_normal((4, 16000))
    media.export_360(path, np.full((4, 64, 128, 3), 90, np.uint8), 4.0, noise, 16000)
    return path


def payload(data, path):
    (way,) = find(data, path)
    return data[way[-1][0] + 8 : way[-1][1]]


def test_the_sound_is_first_order_ambix(file):
    version, kind, order, ordering, norm, channels, *places = struct.unpack(
        ">BBIBBI4I", payload(file.read_bytes(), (*ENTRY, b"mp4a", b"SA3D")))
    assert (version, kind, order, ordering, norm, channels, places) == (0, 0, 1, 0, 0, 4, [0, 1, 2, 3])


def test_the_picture_is_an_equirectangular_panorama(file):
    data = file.read_bytes()
    sphere = (*ENTRY, b"avc1", b"sv3d")
    assert payload(data, (*ENTRY, b"avc1", b"st3d")) == bytes(5), "version, flags, one eye"
    assert payload(data, (*sphere, b"svhd")) == b"\0\0\0\0visage_lite\0"
    assert payload(data, (*sphere, b"proj", b"prhd")) == bytes(16), "not turned"
    assert payload(data, (*sphere, b"proj", b"equi")) == bytes(20), "not cut"
    ((*_, (begin, end)),) = find(data, (*ENTRY, b"avc1"))
    names = [name for name, _, _ in boxes_in(data, begin + 86, end)]
    assert names[:3] == [b"avcC", b"st3d", b"sv3d"], "after what must be there, before what may"


def test_older_players_read_the_same_from_xml(file):
    raw = payload(file.read_bytes(), (b"moov", b"trak", b"uuid"))
    assert raw[:16].hex() == "ffcc8263f8554a938814587a02521fdd"
    said = {element.tag.partition("}")[2]: element.text for element in ElementTree.fromstring(raw[16:])}
    assert said.pop("StitchingSoftware") == "visage_lite"
    assert said == {"Spherical": "true", "Stitched": "true", "ProjectionType": "equirectangular"}


def test_every_box_fits_into_its_parent_and_the_samples_are_where_the_table_says(file):
    data = file.read_bytes()

    def walk(begin, end):
        for name, b, e in boxes_in(data, begin, end):  # a ValueError where sizes do not add up
            if name in spatial_boxes.CONTAINERS:
                walk(b + 8 + spatial_boxes.CONTAINERS[name], e)

    walk(0, len(data))
    (mdat,) = [(b, e) for name, b, e in boxes_in(data) if name == b"mdat"]
    for *_, (begin, _) in find(data, (*ENTRY[:5], b"stco")):
        count = int.from_bytes(data[begin + 12 : begin + 16], "big")
        places = struct.unpack(f">{count}I", data[begin + 16 : begin + 16 + 4 * count])
        assert count and all(mdat[0] < place < mdat[1] for place in places)
    with av.open(str(file)) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]
        assert len(list(container.decode(video=0))) == 4


def test_ffmpeg_understands_the_boxes(file):
    with av.open(str(file)) as container:
        frame = next(container.decode(video=0))
        assert "SPHERICAL" in {entry.type.name for entry in frame.side_data}


def test_what_takes_no_boxes_is_refused(file, tmp_path):
    data = file.read_bytes()
    with pytest.raises(ValueError, match="already"):
        insert_spatial(data)
    media.write_video(tmp_path / "silent.mp4", np.zeros((2, 32, 64, 3), np.uint8), 4)
    silent = (tmp_path / "silent.mp4").read_bytes()
    assert read_spatial(silent) == (b"", b"", b"")
    with pytest.raises(ValueError, match="one AAC track"):
        insert_spatial(silent)
    with pytest.raises(ValueError, match="not an MP4"):
        insert_spatial(b"RIFF" + bytes(40))
