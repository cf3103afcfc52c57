# To be sourced: puts an MPI (MPICH) and libclang on the path, which are what the feature `mpi` is built
# with. They come from PyPI, to target/mpi, the first time.
mpi_home="$PWD/target/mpi"
if [ ! -x "$mpi_home/bin/mpirun" ]; then
    python3 -m venv "$mpi_home"
    "$mpi_home/bin/pip" install --quiet --disable-pip-version-check "mpich==5.0.2" "libclang==18.1.1"
fi
export PATH="$mpi_home/bin:$PATH"
export LD_LIBRARY_PATH="$mpi_home/lib:${LD_LIBRARY_PATH:-}"
LIBCLANG_PATH="$(dirname "$(find "$mpi_home" -name 'libclang.so' | head -1)")"
# The package has the library alone; the compiler's own headers are gcc's.
BINDGEN_EXTRA_CLANG_ARGS="-I$(gcc -print-file-name=include)"
export LIBCLANG_PATH BINDGEN_EXTRA_CLANG_ARGS
