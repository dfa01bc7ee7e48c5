"""The build backend: setuptools', which asks for a C compiler before anything else is downloaded or done."""

import os
import tempfile

from setuptools.build_meta import *  # noqa: F403

REQUIREMENTS = ["cython>=3.1", "numpy>=2.0"]


def get_requires_for_build_wheel(config_settings=None):
    """What a build needs beside setuptools; ends if it would fail for want of a compiler."""
    if os.name == "posix":  # elsewhere options may name another compiler than the default one, and setup.py asks for it
        from distutils.ccompiler import new_compiler
        from distutils.sysconfig import customize_compiler

        compiler = new_compiler()
        customize_compiler(compiler)
        require(compiler)
    return REQUIREMENTS


get_requires_for_build_editable = get_requires_for_build_wheel


def get_requires_for_build_sdist(config_settings=None):
    """What setup.py needs."""
    return REQUIREMENTS


def require(compiler):
    """End with one line that says what to install, if this compiler of distutils does not work."""
    with tempfile.TemporaryDirectory() as folder:
        source = os.path.join(folder, "probe.c")
        with open(source, "w") as file:
            file.write("#include <stdlib.h>\nint main(void) { return EXIT_SUCCESS; }\n")
        try:
            compiler.compile([source], output_dir=folder)
        except Exception:  # of distutils, or of the system where there is no such command
            tried = getattr(compiler, "compiler_so", [compiler.compiler_type])[0]
            raise SystemExit(
                f"nnjpeg needs a C compiler to be built, and there is none that works (tried: {tried}). Install one: "
                "apt install build-essential python3-dev (Debian, Ubuntu), dnf install gcc python3-devel (Fedora), "
                "xcode-select --install (macOS), the C++ Build Tools of Visual Studio (Windows); or name yours in the "
                "environment variable CC."
            ) from None
