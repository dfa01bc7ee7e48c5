"""The compiled part: csrc/*.c and the Cython binding, with OpenMP where the compiler has it."""

import os
import sys
import tempfile
from glob import glob

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, LinkError

OPENMP_PROBE = "#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n"


class BuildCore(build_ext):
    """Chooses flags by compiler; links OpenMP if a small program with it compiles and links."""

    def build_extensions(self):
        msvc = self.compiler.compiler_type == "msvc"
        compile_args = ["/O2"] if msvc else ["-O3", "-std=c99", "-fvisibility=hidden", "-fno-math-errno"]
        openmp_compile, openmp_link = self.openmp_flags(msvc)
        for extension in self.extensions:
            extension.extra_compile_args += compile_args + openmp_compile
            extension.extra_link_args += openmp_link
        super().build_extensions()

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


setup(
    ext_modules=cythonize(
        Extension(
            "nnjpeg._core",
            sources=["nnjpeg/_core.pyx", *sorted(glob("csrc/*.c"))],
            depends=glob("csrc/*.h"),
            include_dirs=["csrc", numpy.get_include()],
            define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_19_API_VERSION")],
        )
    ),
    cmdclass={"build_ext": BuildCore},
)
