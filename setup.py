"""The compiled part: csrc/*.c and the Cython binding, with OpenMP and the instruction sets that the compiler has.

With NNJPEG_CUDA=1 in the environment also the CUDA kernels, by the recipe in build_backend/nvcc.py: without build
isolation, since it takes the torch that is installed.
"""

import importlib.util
import json
import os
import platform
import sys
import tempfile
from glob import glob

import Cython  # noqa: F401 without it setuptools would compile a _core.c, and there is none
import numpy
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, LinkError

# The flags of each csrc/isa_<isa>.c, by CPU and compiler. The rest of the core is for any CPU of its kind, and
# dispatch.c looks before it leaps: a build runs everywhere.
with open("csrc/isas.json") as file:
    ISAS = json.load(file)
# Floats become bytes by two roundings on every device: no product may be fused with a sum unasked.
GNU_FLAGS = ["-O3", "-std=c99", "-ffp-contract=off", "-fno-trapping-math", "-fvisibility=hidden"]
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
OPENMP_PROBE = "#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n"


def target_machine():
    """The CPU that is built for; macOS names it in ARCHFLAGS when it is not this one."""
    flags = os.environ.get("ARCHFLAGS", "").split()
    name = flags[-1] if flags else platform.machine().lower()
    return MACHINES.get(name, name)


def load(path):
    """A module of this source tree that can be used without the package."""
    spec = importlib.util.spec_from_file_location(os.path.splitext(os.path.basename(path))[0], path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class BuildCore(build_ext):
    """Chooses flags by compiler, compiles each instruction set with its own, and probes for OpenMP."""

    def build_extensions(self):
        load("build_backend/nnjpeg_build.py").require(self.compiler)
        (core,) = self.extensions
        msvc = self.compiler.compiler_type == "msvc"
        flags = ["/O2"] if msvc else GNU_FLAGS
        for isa, isa_flags in ISAS.get(target_machine(), {}).items():
            try:
                core.extra_objects += self.compiler.compile(
                    [f"csrc/isa_{isa}.c"],
                    output_dir=self.build_temp,
                    include_dirs=core.include_dirs,
                    extra_postargs=flags + isa_flags["msvc" if msvc else "gcc"],
                )
            except CompileError:
                print(f"nnjpeg: the compiler does not know {isa}, building without", file=sys.stderr)
            else:
                core.define_macros.append((f"NJ_WITH_{isa.upper()}", None))
        openmp_compile, openmp_link = self.openmp_flags(msvc)
        core.extra_compile_args += flags + openmp_compile
        core.extra_link_args += openmp_link
        super().build_extensions()
        if os.environ.get("NNJPEG_CUDA", "0") != "0":
            self.build_kernel()

    def build_kernel(self):
        recipe = load("build_backend/nvcc.py")
        library = recipe.build(os.path.abspath(os.path.join(self.build_temp, "cuda")))
        folder = os.path.dirname(self.get_ext_fullpath("nnjpeg._core"))
        self.copy_file(library, os.path.join(folder, f"{recipe.NAME}.so"))

    def openmp_flags(self, msvc):
        if os.environ.get("NNJPEG_OPENMP", "1") == "0":
            return [], []
        flags = (["/openmp"], []) if msvc else (["-fopenmp"], ["-fopenmp"])
        with tempfile.TemporaryDirectory() as folder:
            source = os.path.join(folder, "probe.c")
            with open(source, "w") as file:
                file.write(OPENMP_PROBE)
            try:
                objects = self.compiler.compile([source], output_dir=folder, extra_postargs=flags[0])
                self.compiler.link_executable(objects, os.path.join(folder, "probe"), extra_postargs=flags[1])
            except (CompileError, LinkError):
                print("nnjpeg: OpenMP not found, building single-threaded", file=sys.stderr)
                return [], []
        return flags


isa_files = {f"csrc/isa_{isa}.c" for isas in ISAS.values() for isa in isas}
sources = [path for path in [*glob("csrc/*.c"), "csrc/cuda/plan.c"] if path not in isa_files]
setup(
    ext_modules=[
        Extension(
            "nnjpeg._core",
            sources=["nnjpeg/_core.pyx", *sorted(sources)],
            depends=[*glob("csrc/*.h"), "csrc/cuda/job.h", "csrc/isas.json", *isa_files],
            include_dirs=["csrc", numpy.get_include()],
            define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_19_API_VERSION")],
        )
    ],
    cmdclass={"build_ext": BuildCore},
)
