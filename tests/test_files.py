"""Files that are written whole."""

import os
import time

from metarl.foundation.files import write_whole

ABANDONED = time.time() - 2 * 24 * 3600


def test_what_a_killed_writer_left_long_ago_goes_with_the_next_writing(tmp_path):
    file = tmp_path / "evaluation [1].json"
    abandoned = tmp_path / f"{file.name}.0123456789abcdef.partial"
    writing = tmp_path / f"{file.name}.fedcba9876543210.partial"
    others = [tmp_path / f"{file.name}.mine.partial", tmp_path / "b.0123456789abcdef.partial"]
    for each in (abandoned, writing, *others):
        each.write_text("half")
    for each in (abandoned, *others):
        os.utime(each, (ABANDONED, ABANDONED))
    write_whole(file, b"whole")
    # Whoever writes just now goes on.
    assert set(tmp_path.iterdir()) == {file, writing, *others}
    assert file.read_bytes() == b"whole"
