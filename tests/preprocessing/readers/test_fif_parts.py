"""Links between the parts of a split FIF."""

import struct

from neurofm.preprocessing.readers import fif_parts


def test_bad_input_a_tag_that_leads_back_ends_the_search(tmp_path):
    """Bits that turned in a pointer must not make ingest turn in a circle."""
    path = tmp_path / "rec_raw.fif"
    path.write_bytes(struct.pack(">iIii", 100, 31, 0, 0) + struct.pack(">iIii", 101, 3, 0, 16))
    assert fif_parts.goes_on_from(path) == ""
