# Copyright 2026 The scene_geo_loc authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""Damage to files, drawn at random: what disks, copies, editors and ill will do to them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from random import Random

_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
NUMBERS = (b"nan", b"-inf", b"1e308", b"-1", b"0", b"99999999999999999999", b"1e-320", b"", b"0x10", b"1,5")
LENGTHS = (0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 0x7FFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF)


def flip_bits(data: bytearray, random: Random) -> None:
    """Flips one to eight bits."""
    for _ in range(random.randint(1, 8)):
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def overwrite(data: bytearray, random: Random) -> None:
    """Overwrites a piece with zeros, ones or noise."""
    start, length = random.randrange(len(data)), random.choice((1, 4, 64, 4096))
    piece = data[start : start + length]
    fill = random.choice((bytes(len(piece)), b"\xff" * len(piece), random.randbytes(len(piece))))
    data[start : start + length] = fill


def cut_off(data: bytearray, random: Random) -> None:
    """Removes the end."""
    del data[random.randrange(len(data)) :]


def remove(data: bytearray, random: Random) -> None:
    """Removes a piece from within."""
    start = random.randrange(len(data))
    del data[start : start + random.choice((1, 7, 512))]


def repeat(data: bytearray, random: Random) -> None:
    """Inserts a piece a second time, somewhere else."""
    start, length = random.randrange(len(data)), random.choice((1, 16, 1024))
    at = random.randrange(len(data))
    data[at:at] = data[start : start + length]


def replace_number(data: bytearray, random: Random) -> None:
    """Replaces a written number by another one, or by what is none."""
    found = [match.span() for match in _NUMBER.finditer(data)]
    if found:
        start, end = random.choice(found)
        data[start:end] = random.choice((*NUMBERS, str(random.randint(-9, 999)).encode()))


def replace_length(data: bytearray, random: Random) -> None:
    """Writes a number that is typical of lengths and offsets, of four or eight bytes."""
    size = random.choice((4, 8))
    start = random.randrange(max(1, len(data) - size))
    number = random.choice(LENGTHS) % (1 << (8 * size))
    data[start : start + size] = number.to_bytes(size, "little")


def replace_line(data: bytearray, random: Random) -> None:
    """Removes, repeats or garbles a line of text."""
    lines = bytes(data).split(b"\n")
    i = random.randrange(len(lines))
    garbled = random.choice(([], [lines[i]] * 2, [lines[i][::-1]], [b"\xff\xfe\x00"], [b" " * 3]))
    data[:] = b"\n".join([*lines[:i], *garbled, *lines[i + 1 :]])


CONTENTS: tuple[Callable[[bytearray, Random], None], ...] = (
    flip_bits, overwrite, cut_off, remove, repeat, replace_number, replace_length, replace_line,
)  # fmt: skip


def _as_folder(file: Path, random: Random) -> None:
    file.unlink()
    file.mkdir()


def _as_pipe(file: Path, random: Random) -> None:
    file.unlink()
    os.mkfifo(file)


def _as_link_to_itself(file: Path, random: Random) -> None:
    file.unlink()
    file.symlink_to(file)


def _missing(file: Path, random: Random) -> None:
    file.unlink()


def _empty(file: Path, random: Random) -> None:
    file.write_bytes(b"")


def _exchanged(file: Path, random: Random) -> None:
    other = random.choice(sorted(path for path in file.parent.iterdir() if path.is_file()))
    first, second = file.read_bytes(), other.read_bytes()
    file.write_bytes(second)
    other.write_bytes(first)


FILES: tuple[Callable[[Path, Random], None], ...] = (
    _as_folder, _as_pipe, _as_link_to_itself, _missing, _empty, _exchanged,
)  # fmt: skip


def damage(files: list[Path], random: Random) -> str:
    """Damages one of some files, and returns what was done to which."""
    # First a folder and an ending: most files are images.
    kinds = sorted({(path.parent, path.suffix) for path in files})
    folder, suffix = random.choice(kinds)
    file = random.choice([path for path in files if (path.parent, path.suffix) == (folder, suffix)])
    if random.random() < 0.15 or not file.stat().st_size:
        mutation = random.choice(FILES)
        mutation(file, random)
        return f"{file.name} {mutation.__name__.strip('_')}"
    data, names = bytearray(file.read_bytes()), []
    for _ in range(random.choice((1, 1, 1, 3))):
        change = random.choice(CONTENTS)
        if data:
            change(data, random)
        names.append(change.__name__)
    file.write_bytes(data)
    return f"{file.name} {', '.join(names)}"
