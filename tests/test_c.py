"""The core as a C program: under sanitizers here, and as NEON code under an emulator."""

import json
import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from nnjpeg import _core

ROOT = Path(__file__).parent.parent
ISAS = json.loads((ROOT / "csrc/isas.json").read_text()) if (ROOT / "csrc").is_dir() else {}
FLAGS = {isa: flags["gcc"] for isas in ISAS.values() for isa, flags in isas.items()}
ISA_FILES = {f"isa_{isa}.c" for isa in FLAGS}

SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-O1", "-g1", "-fopenmp"]
REFUSE_MEMORY = ["-Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc"]
# LLVM's OpenMP tells ThreadSanitizer by it which of its threads wait for which.
ARCHER = next(iter(sorted(Path("/usr/lib").glob("llvm-*/lib/libarcher.so"))), None)
HAS_ARCHER = ARCHER is not None and shutil.which("clang") is not None
COLOUR = ["tests/c/colour.c"]
CORPUS = sorted((ROOT / "tests/fuzz/corpus").glob("*"))

pytestmark = pytest.mark.skipif(not (ROOT / "csrc").is_dir(), reason="the sources are not here")


def command(compiler, isas, flags):
    """What all sources are compiled with."""
    defines = [f"-DNJ_WITH_{isa.upper()}" for isa in isas]
    return [compiler, "-std=c99", "-Wall", "-Wextra", "-Werror", f"-I{ROOT / 'csrc'}", *defines, *flags]


def compile_core(folder, compiler, isas, flags):
    """The objects of the core with the instruction sets `isas`, side by side."""
    own = {f"isa_{isa}.c": FLAGS[isa] for isa in isas}
    sources = [path for path in (ROOT / "csrc").glob("*.c") if path.name in own or path.name not in ISA_FILES]
    compilers = [
        subprocess.Popen([
            *command(compiler, isas, flags), *own.get(path.name, []), "-c", str(path), "-o", folder / f"{path.stem}.o"
        ])
        for path in sources
    ]  # fmt: skip
    assert [one.wait() for one in compilers] == [0] * len(sources)


def link(folder, core, compiler, isas, flags, programs):
    """A program with the objects in `core`."""
    sources = [str(ROOT / source) for source in programs]
    libraries = ["-o", str(folder / "program"), "-pthread", "-lm"]
    subprocess.run([*command(compiler, isas, flags), *sources, *core.glob("*.o"), *libraries], check=True)
    return str(folder / "program")


def build(folder, compiler, isas, flags, programs=("tests/c/check.c",)):
    """Compile a program with the core and the instruction sets `isas`."""
    compile_core(folder, compiler, isas, flags)
    return link(folder, folder, compiler, isas, flags, programs)


def run(command, **environment):
    """What a program prints: a name and the rest, for each line."""
    return dict(line.split(" ", 1) for line in output(command, **environment).splitlines())


def output(command, **environment):
    result = subprocess.run(command, capture_output=True, text=True, timeout=600, env={**os.environ, **environment})
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


def has_libfuzzer():
    if shutil.which("clang") is None:
        return False
    resources = subprocess.run(["clang", "-print-resource-dir"], capture_output=True, text=True).stdout.strip()
    return any(Path(resources).glob("lib/**/libclang_rt.fuzzer*"))


def native_isas():
    """Those of this CPU beside the generic one."""
    return [isa for isa, supported in _core.compiled_isas().items() if supported and isa in FLAGS]


@pytest.fixture(scope="session")
def sanitized(made_once):
    """From programs to one with the core under sanitizers, which takes long to compile: once for all tests."""
    core = made_once("sanitized", lambda folder: compile_core(folder, "gcc", native_isas(), SANITIZE))

    def build(folder, programs, flags=()):
        return link(folder, core, "gcc", native_isas(), [*SANITIZE, *flags], programs)

    return build


@pytest.mark.slow(50)
@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
def test_sanitizers_and_guard_pages_at_every_size(sanitized, tmp_path):
    program = sanitized(tmp_path, ["tests/c/check.c"])
    hashes = run([program], ASAN_OPTIONS="detect_leaks=0")
    assert set(hashes) == {*native_isas(), "generic"}


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
def test_colour_of_every_pixel_there_is(tmp_path):
    pixels = run([build(tmp_path, "gcc", native_isas(), ["-O2"], COLOUR)])
    assert pixels == dict.fromkeys([*native_isas(), "generic"], str(256**3))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
def test_where_there_is_no_memory_nothing_is_written(sanitized, tmp_path):
    refused = run([sanitized(tmp_path, ["tests/c/no_memory.c"], REFUSE_MEMORY)])
    assert set(refused) == {*native_isas(), "generic"}
    assert all(int(count) > 0 for count in refused.values())


# What CPUID and XGETBV say of a CPU that has all: the highest leaf; leaf 1, ECX; leaf 7, EBX and ECX; registers.
EVERYTHING = {
    "leaves": 7,
    "leaf1_ecx": 1 << 27 | 1 << 12,
    "leaf7_ebx": 1 << 30 | 1 << 16 | 1 << 5,
    "leaf7_ecx": 1 << 11,
    "registers": 0xE6,
}
X86 = ["avx512vnni", "avx512", "avx2"]


@pytest.fixture(scope="session")
def isas_of(made_once, tmp_path_factory):
    """From what a made-up CPU lacks, {word: bits}, to the names of the instruction sets that it may run."""

    def compile_all_but_dispatch(folder):
        compile_core(folder, "gcc", X86, ["-O0"])
        (folder / "dispatch.o").unlink()  # the program has it, with another CPU

    core = made_once("made_up_cpu", compile_all_but_dispatch)
    program = link(tmp_path_factory.mktemp("cpu"), core, "gcc", X86, ["-O0"], ["tests/c/made_up_cpu.c"])

    def isas(lacks):
        words = [word & ~lacks.get(name, 0) for name, word in EVERYTHING.items()]
        return output([program, *(f"{word:x}" for word in words)]).split()

    return isas


@pytest.mark.slow(5)
@pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64"), reason="instruction sets of x86-64")
@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
@pytest.mark.parametrize(
    ("lacks", "left"),
    [
        ({}, X86),
        ({"leaf7_ecx": 1 << 11}, ["avx512", "avx2"]),
        ({"leaf7_ebx": 1 << 30}, ["avx2"]),
        ({"leaf7_ebx": 1 << 16}, ["avx2"]),
        ({"registers": 0xE0}, ["avx2"]),
        # AVX-512 leaves small groups to AVX2.
        ({"leaf7_ebx": 1 << 5}, []),
        ({"leaf1_ecx": 1 << 12}, []),
        ({"leaf1_ecx": 1 << 27}, []),
        ({"registers": 0x04}, []),
        ({"leaves": 4}, []),
    ],
    ids=["all", "VNNI", "AVX512BW", "AVX512F", "ZMM", "AVX2", "FMA", "OSXSAVE", "YMM", "leaf 7"],
)
def test_a_cpu_that_lacks_something_runs_no_instructions_that_use_it(lacks, left, isas_of):
    assert isas_of(lacks) == [*left, "generic"]


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() == "aarch64", reason="NEON is native here")
@pytest.mark.skipif(
    shutil.which("aarch64-linux-gnu-gcc") is None or shutil.which("qemu-aarch64") is None,
    reason="aarch64-linux-gnu-gcc and qemu-aarch64 are not installed",
)
def test_neon_gives_the_same_bits_under_an_emulator(tmp_path):
    (tmp_path / "native").mkdir()
    native = run([build(tmp_path / "native", "gcc", [], ["-O3"]), "3"])
    arm = run(["qemu-aarch64", build(tmp_path, "aarch64-linux-gnu-gcc", ["neon"], ["-O3", "-static"]), "3"])
    assert set(arm) == {"neon", "generic"}
    assert arm["neon"] == arm["generic"] == native["generic"]
    pixels = run(
        ["qemu-aarch64", link(tmp_path, tmp_path, "aarch64-linux-gnu-gcc", ["neon"], ["-O3", "-static"], COLOUR)]
    )
    assert set(pixels) == {"neon", "generic"}


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
@pytest.mark.parametrize("flags", [["-U__SSE2__"], ["-U__SSE2__", "-U__BYTE_ORDER__"]], ids=["vectors", "loops"])
def test_portable_c_gives_the_same_bits_without_sse2(flags, tmp_path):
    """lanes_vectors.h, by the compiler's vectors and in loops, for CPUs and compilers that are not here."""
    (tmp_path / "native").mkdir()
    native = run([build(tmp_path / "native", "gcc", [], ["-O2"]), "3"])
    assert run([build(tmp_path, "gcc", [], ["-O2", *flags]), "3"]) == native
    pixels = run([link(tmp_path, tmp_path, "gcc", [], ["-O2", *flags], COLOUR)])
    assert pixels == {"generic": str(256**3)}


@pytest.mark.slow(49)
@pytest.mark.skipif(has_libfuzzer(), reason="libFuzzer does it, below")
@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
def test_the_fuzz_target_on_its_corpus_and_on_random_inputs(sanitized, tmp_path):
    assert len(CORPUS) > 20
    program = sanitized(tmp_path, ["tests/fuzz/codec.c", "tests/fuzz/replay.c"])
    assert f"{len(CORPUS)} files and 3000 random inputs" in output([program, "3000", *map(str, CORPUS)])


@pytest.mark.slow(40)
@pytest.mark.skipif(not has_libfuzzer(), reason="clang with libFuzzer is not installed")
def test_libfuzzer_finds_nothing_in_a_short_run(tmp_path):
    """Longer by hand, and there with the sanitizer for undefined behaviour: docs/hardening.md."""
    fuzz = ["-fsanitize=fuzzer,address", "-O1", "-g1"]
    program = build(tmp_path, "clang", native_isas(), fuzz, ["tests/fuzz/codec.c"])
    (tmp_path / "found").mkdir()
    # Its limit counts the largest memory of this process too, from which it is forked: a limit to allocations instead.
    limits = ["-runs=5000", "-seed=1", "-rss_limit_mb=0", "-malloc_limit_mb=512"]
    text = output([program, *limits, str(tmp_path / "found"), str(ROOT / "tests/fuzz/corpus")])
    assert "Done 5000 runs" in text


@pytest.mark.slow
@pytest.mark.skipif(HAS_ARCHER, reason="clang does it with OpenMP too, below")
@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
def test_threads_do_not_race(tmp_path):
    """Without OpenMP, whose GNU runtime ThreadSanitizer does not understand: the races of callers' threads."""
    flags = ["-fsanitize=thread", "-O1", "-g1"]
    program = build(tmp_path, "gcc", native_isas(), flags, ["tests/c/threads.c"])
    assert len(run([program, "8", "5"], TSAN_OPTIONS="halt_on_error=1")) == 8


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
def test_threads_of_a_forked_process_do_not_race(tmp_path):
    """With OpenMP, but in a child, which does without it: the threads are nnjpeg's own."""
    flags = ["-fsanitize=thread", "-fopenmp", "-O1", "-g1"]
    program = build(tmp_path, "gcc", native_isas(), flags, ["tests/c/threads.c"])
    assert len(run([program, "4", "5", "fork"], TSAN_OPTIONS="halt_on_error=1")) == 4


@pytest.mark.slow
@pytest.mark.skipif(not HAS_ARCHER, reason="clang, LLVM's OpenMP and its Archer are not installed")
def test_threads_of_openmp_do_not_race(tmp_path):
    flags = ["-fsanitize=thread", "-fopenmp", "-O1", "-g1"]
    program = build(tmp_path, "clang", native_isas(), flags, ["tests/c/threads.c"])
    options = {"OMP_TOOL_LIBRARIES": str(ARCHER), "TSAN_OPTIONS": "halt_on_error=1 ignore_noninstrumented_modules=1"}
    assert len(run([program, "4", "10"], OMP_NUM_THREADS="4", **options)) == 4
