"""Builds programs of examples/firmware and reads their ELF files. A module of the checks beside it, no check by itself."""

import bisect
import json
import re
import shutil
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MANIFEST = ROOT / "examples/firmware/Cargo.toml"
CORTEX_M3 = "thumbv7m-none-eabi"
CORTEX_M4F = "thumbv7em-none-eabihf"

ALLOC, WRITE, EXECUTE = 0x2, 0x1, 0x4
SYMTAB, NOBITS = 2, 8
FUNCTION = 2


def build(name, target=CORTEX_M3, features=(), env=None):
    """The path of a program of the package, built as its release profile says."""
    command = ["cargo", "build", "--quiet", "--locked", "--release", "--manifest-path", str(MANIFEST)]
    command += ["--target", target, "--bin", name, "--message-format", "json-render-diagnostics"]
    if features:
        command += ["--features", ",".join(features)]
    lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=env).stdout.splitlines()
    messages = [json.loads(line) for line in lines if line.startswith("{")]
    return Path(next(m["executable"] for m in reversed(messages) if m.get("executable")))


@dataclass
class Section:
    name: str
    kind: int
    flags: int
    address: int
    offset: int
    size: int
    link: int


@dataclass
class Symbol:
    name: str
    address: int
    size: int
    kind: int
    section: int


class Elf:
    """An ELF file of a 32-bit little-endian machine."""

    def __init__(self, path):
        self.path = Path(path)
        self.bytes = self.path.read_bytes()
        if self.bytes[:6] != b"\x7fELF\x01\x01":
            raise ValueError(f"{path} is no ELF file of 32 bits, little-endian")
        start = struct.unpack_from("<I", self.bytes, 0x20)[0]
        size, count, names = struct.unpack_from("<HHH", self.bytes, 0x2E)
        headers = [struct.unpack_from("<10I", self.bytes, start + size * i) for i in range(count)]
        names = headers[names][4]
        self.sections = [Section(self.text(names + h[0]), h[1], h[2], h[3], h[4], h[5], h[6]) for h in headers]
        self.symbols = [s for section in self.sections if section.kind == SYMTAB for s in self.read_symbols(section)]

    def text(self, at):
        return self.bytes[at : self.bytes.index(b"\0", at)].decode()

    def read_symbols(self, table):
        names = self.sections[table.link].offset
        for at in range(table.offset, table.offset + table.size, 16):
            name, value, size, info, _, section = struct.unpack_from("<IIIBBH", self.bytes, at)
            kind = info & 0xF
            # Bit 0 of a function's address says that it is Thumb code.
            yield Symbol(self.text(names + name), value & ~1 if kind == FUNCTION else value, size, kind, section)

    def symbol(self, name):
        return next(s for s in self.symbols if s.name == name)

    def fact(self, name):
        """A number that the program states by `fact!`."""
        symbol = self.symbol(name)
        return struct.unpack_from("<I", self.bytes, self.sections[symbol.section].offset + symbol.address)[0]

    def sizes(self):
        """Bytes of text, rodata, data and bss."""
        sizes = dict.fromkeys(("text", "rodata", "data", "bss"), 0)
        for section in self.sections:
            if section.flags & ALLOC and not section.name.startswith(".facts"):
                if section.kind == NOBITS:
                    kind = "bss"
                elif section.flags & EXECUTE:
                    kind = "text"
                else:
                    kind = "data" if section.flags & WRITE else "rodata"
                sizes[kind] += section.size
        return sizes

    def functions(self):
        """The functions by their place in flash, each once."""
        found = {s.address: s for s in self.symbols if s.kind == FUNCTION and s.size}
        return [found[address] for address in sorted(found)]

    def function_at(self, address, functions):
        """The function of a list by `functions` that holds an address, if one does."""
        index = bisect.bisect_right(functions, address, key=lambda s: s.address) - 1
        if index >= 0 and address < functions[index].address + functions[index].size:
            return functions[index]
        return None


def demangle(names):
    """The names as a person reads them; as they are where no demangler is installed."""
    names = list(names)
    tool = next((t for t in ("rustfilt", "c++filt", "llvm-cxxfilt") if shutil.which(t)), None)
    if tool and names:
        output = subprocess.run([tool], input="\n".join(names), check=True, stdout=subprocess.PIPE, text=True).stdout
        names = output.splitlines()
    # The hashes of crates and of functions tell a person nothing.
    return [re.sub(r"\[[0-9a-f]{8,16}\]|::h[0-9a-f]{16}$", "", name) for name in names]
