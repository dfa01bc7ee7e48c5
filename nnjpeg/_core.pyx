# cython: freethreading_compatible=True, language_level=3, boundscheck=False, wraparound=False, embedsignature=False
"""The binding of csrc/nnjpeg.h: buffers in, status codes to exceptions, nothing else; and of csrc/cuda/job.h.

Arrays are validated by nnjpeg.codec. `axes` names, for images, components, rows and columns in this order, the axis
of the array that holds it, or -1 where there is none.
"""

cimport numpy as cnp
from cpython.pycapsule cimport PyCapsule_GetPointer
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport int16_t, int64_t, uint8_t, uint16_t

cnp.import_array()

cdef extern from "numpy/arrayobject.h":
    object PyArray_NewLikeArray(cnp.ndarray, cnp.NPY_ORDER, void *, int)

cdef extern from "nnjpeg.h" nogil:
    enum:
        NNJPEG_BLOCK_SIZE
        NNJPEG_CODE_LENGTHS
    ctypedef enum nnjpeg_status:
        NNJPEG_OK
        NNJPEG_NO_MEMORY
    ctypedef enum nnjpeg_colorspace:
        NNJPEG_RGB
        NNJPEG_YCBCR
        NNJPEG_RGBX
        NNJPEG_YCBCRX
    ctypedef enum nnjpeg_subsampling:
        NNJPEG_444
    ctypedef enum nnjpeg_huffman:
        NNJPEG_HUFFMAN_STANDARD
        NNJPEG_HUFFMAN_OPTIMAL
    ctypedef enum nnjpeg_precision:
        NNJPEG_UINT8
        NNJPEG_FLOAT
        NNJPEG_FLOAT_CUBIC
    ctypedef struct nnjpeg_shape:
        Py_ssize_t images, components, height, width
    ctypedef struct nnjpeg_strides:
        Py_ssize_t image, component, row, column
    ctypedef struct nnjpeg_coefficients:
        int16_t *data
        nnjpeg_strides strides
    ctypedef struct nnjpeg_quantizer:
        pass
    ctypedef struct nnjpeg_quantizers:
        const nnjpeg_quantizer *data
        Py_ssize_t image_stride, component_stride

    const char *nnjpeg_status_message(nnjpeg_status)
    nnjpeg_status nnjpeg_quantizer_init(nnjpeg_quantizer *, const uint16_t *)
    nnjpeg_status nnjpeg_roundtrip(const nnjpeg_shape *, const uint8_t *, const nnjpeg_strides *, uint8_t *,
                                   const nnjpeg_strides *, nnjpeg_quantizers, nnjpeg_colorspace, nnjpeg_subsampling,
                                   int)
    nnjpeg_status nnjpeg_roundtrip_f32(const nnjpeg_shape *, const float *, const nnjpeg_strides *, float *,
                                       const nnjpeg_strides *, nnjpeg_quantizers, nnjpeg_colorspace,
                                       nnjpeg_subsampling, nnjpeg_precision, int)
    nnjpeg_status nnjpeg_cubic_backward_f32(const nnjpeg_shape *, const float *, const nnjpeg_strides *, const float *,
                                            const nnjpeg_strides *, float *, const nnjpeg_strides *,
                                            nnjpeg_quantizers, nnjpeg_colorspace, nnjpeg_subsampling, int)
    nnjpeg_status nnjpeg_table_backward_f32(const nnjpeg_shape *, const float *, const nnjpeg_strides *, const float *,
                                            const nnjpeg_strides *, float *, nnjpeg_quantizers, nnjpeg_colorspace,
                                            nnjpeg_subsampling, nnjpeg_precision, int)
    nnjpeg_status nnjpeg_forward(const nnjpeg_shape *, const uint8_t *, const nnjpeg_strides *,
                                 const nnjpeg_coefficients *, nnjpeg_quantizers, nnjpeg_colorspace, nnjpeg_subsampling,
                                 int)
    nnjpeg_status nnjpeg_inverse(const nnjpeg_shape *, const nnjpeg_coefficients *, uint8_t *, const nnjpeg_strides *,
                                 nnjpeg_quantizers, nnjpeg_colorspace, nnjpeg_subsampling, int)
    nnjpeg_status nnjpeg_coded_size(const nnjpeg_shape *, const uint8_t *, const nnjpeg_strides *, int64_t *, uint8_t *,
                                    nnjpeg_quantizers, nnjpeg_colorspace, nnjpeg_subsampling, nnjpeg_huffman, int)
    nnjpeg_status nnjpeg_coded_size_f32(const nnjpeg_shape *, const float *, const nnjpeg_strides *, int64_t *, uint8_t *,
                                        nnjpeg_quantizers, nnjpeg_colorspace, nnjpeg_subsampling, nnjpeg_huffman, int)
    nnjpeg_status nnjpeg_rate_backward(const nnjpeg_shape *, const uint8_t *, const nnjpeg_strides *, const float *,
                                       const uint8_t *, float *, nnjpeg_quantizers, nnjpeg_colorspace,
                                       nnjpeg_subsampling, int)
    nnjpeg_status nnjpeg_rate_backward_f32(const nnjpeg_shape *, const float *, const nnjpeg_strides *, const float *,
                                           const uint8_t *, float *, float *, const nnjpeg_strides *,
                                           nnjpeg_quantizers, nnjpeg_colorspace, nnjpeg_subsampling, int)
    nnjpeg_status nnjpeg_dct_u8(const nnjpeg_shape *, const uint8_t *, const nnjpeg_strides *, float *,
                                const nnjpeg_strides *)
    nnjpeg_status nnjpeg_dct_f32(const nnjpeg_shape *, const float *, const nnjpeg_strides *, float *,
                                 const nnjpeg_strides *)
    nnjpeg_status nnjpeg_idct_f32(const nnjpeg_shape *, const float *, const nnjpeg_strides *, float *,
                                  const nnjpeg_strides *)
    nnjpeg_status nnjpeg_quantize(const int16_t *, int16_t *, Py_ssize_t, uint16_t)
    void nnjpeg_expect_writes(void *, Py_ssize_t)
    int nnjpeg_openmp_threads()
    const char *nnjpeg_isa()
    const char *nnjpeg_compiled_isa(int, int *)
    nnjpeg_status nnjpeg_use_isa(const char *)

cdef extern from "cuda/job.h":
    enum:
        NNJPEG_CUDA_KERNEL_COUNT
        NNJPEG_CUDA_TYPE_COUNT
        NNJPEG_CUDA_THREADS
    ctypedef enum nnjpeg_cuda_type:
        pass
    ctypedef enum nnjpeg_cuda_kernel:
        pass
    ctypedef struct nnjpeg_cuda_view:
        void *data
        nnjpeg_strides strides
    ctypedef struct nnjpeg_cuda_tables:
        void *steps
        Py_ssize_t image_stride, component_stride
        nnjpeg_cuda_type type
    ctypedef struct nnjpeg_cuda_call:
        nnjpeg_shape shape
        nnjpeg_cuda_view src, grad, dst
        float *steps_gradient
        nnjpeg_cuda_tables tables
        void *workspace
        nnjpeg_cuda_type type
        nnjpeg_colorspace colorspace
        nnjpeg_subsampling subsampling
        nnjpeg_precision precision
    ctypedef struct nnjpeg_cuda_job:
        pass
    ctypedef struct nnjpeg_cuda_launch:
        nnjpeg_cuda_kernel kernel
        nnjpeg_cuda_type type
        unsigned blocks
    ctypedef struct nnjpeg_cuda_plan:
        size_t workspace
        nnjpeg_cuda_job job
        int count
        nnjpeg_cuda_launch *launches
    ctypedef struct nnjpeg_cuda_description:
        const char *file
        const char *name
        int types

    const nnjpeg_cuda_description *nnjpeg_cuda_describe(nnjpeg_cuda_kernel)
    const char *nnjpeg_cuda_name_of_type(nnjpeg_cuda_type)
    void nnjpeg_cuda_plan_init(nnjpeg_cuda_plan *, const nnjpeg_cuda_call *)


cdef int check(nnjpeg_status status) except -1:
    if status == NNJPEG_NO_MEMORY:
        raise MemoryError(nnjpeg_status_message(status).decode())
    if status != NNJPEG_OK:
        raise ValueError(nnjpeg_status_message(status).decode())
    return 0


cdef Py_ssize_t extent(cnp.ndarray array, int axis):
    return 1 if axis < 0 else cnp.PyArray_DIM(array, axis)


cdef nnjpeg_shape shape_of(cnp.ndarray samples, tuple axes):
    cdef int n = axes[0], c = axes[1], h = axes[2], w = axes[3]
    cdef nnjpeg_shape shape
    shape.images = extent(samples, n)
    shape.components = extent(samples, c)
    shape.height = extent(samples, h)
    shape.width = extent(samples, w)
    return shape


cdef Py_ssize_t stride(cnp.ndarray array, int axis):
    return 0 if axis < 0 else cnp.PyArray_STRIDE(array, axis) // cnp.PyArray_ITEMSIZE(array)


cdef nnjpeg_strides strides_of(cnp.ndarray array, tuple axes):
    cdef nnjpeg_strides strides
    strides.image = stride(array, axes[0])
    strides.component = stride(array, axes[1])
    strides.row = stride(array, axes[2])
    strides.column = stride(array, axes[3])
    return strides


cdef class Quantizers:
    """Prepared quantization tables.

    steps: C-contiguous uint16 array of shape (images or 1, components or 1, 64), natural order, entries 1..255; one table
    at least.
    """

    cdef nnjpeg_quantizer *data
    cdef readonly Py_ssize_t images, components

    def __cinit__(self, const uint16_t[:, :, ::1] steps not None):
        cdef Py_ssize_t i, count = steps.shape[0] * steps.shape[1]
        if count == 0 or steps.shape[2] != NNJPEG_BLOCK_SIZE:
            raise ValueError("steps must have shape (images, components, 64) with at least one table")
        self.images = steps.shape[0]
        self.components = steps.shape[1]
        self.data = <nnjpeg_quantizer *>PyMem_Malloc(count * sizeof(nnjpeg_quantizer))
        if self.data == NULL:
            raise MemoryError()
        for i in range(count):
            check(nnjpeg_quantizer_init(&self.data[i], &steps[i // self.components, i % self.components, 0]))

    def __dealloc__(self):
        PyMem_Free(self.data)

    cdef nnjpeg_quantizers view(self, const nnjpeg_shape *shape, bint padded=False) except *:
        """The tables for an image of this shape; `padded`: the last component is not coded."""
        cdef nnjpeg_quantizers view
        cdef Py_ssize_t coded = shape.components - padded
        if self.images not in (1, shape.images) or self.components not in (1, coded):
            raise ValueError(f"{self.images} x {self.components} tables do not fit {shape.images} images of "
                             f"{coded} components")
        view.data = self.data
        view.image_stride = self.components if self.images > 1 else 0
        view.component_stride = 1 if self.components > 1 else 0
        return view


def roundtrip(cnp.ndarray src not None, cnp.ndarray dst, tuple axes not None, Quantizers quantizers not None,
              bint ycbcr, int num_threads, bint padded=False, int subsampling=0):
    if dst is None:
        dst = PyArray_NewLikeArray(src, cnp.NPY_KEEPORDER, NULL, 0)
    cdef nnjpeg_shape shape = shape_of(src, axes)
    cdef nnjpeg_strides ss = strides_of(src, axes), ds = strides_of(dst, axes)
    cdef const uint8_t *s = <const uint8_t *>cnp.PyArray_DATA(src)
    cdef uint8_t *d = <uint8_t *>cnp.PyArray_DATA(dst)
    cdef nnjpeg_quantizers q = quantizers.view(&shape, padded)
    cdef nnjpeg_colorspace colorspace
    if padded:
        colorspace = NNJPEG_YCBCRX if ycbcr else NNJPEG_RGBX
    else:
        colorspace = NNJPEG_YCBCR if ycbcr else NNJPEG_RGB
    cdef nnjpeg_status status
    with nogil:
        status = nnjpeg_roundtrip(&shape, s, &ss, d, &ds, q, colorspace, <nnjpeg_subsampling>subsampling, num_threads)
    check(status)
    return dst


def roundtrip_f32(cnp.ndarray src not None, cnp.ndarray dst not None, tuple axes not None,
                  Quantizers quantizers not None, bint ycbcr, bint exact, bint cubic, int num_threads,
                  int subsampling=0):
    cdef nnjpeg_shape shape = shape_of(src, axes)
    cdef nnjpeg_strides ss = strides_of(src, axes), ds = strides_of(dst, axes)
    cdef const float *s = <const float *>cnp.PyArray_DATA(src)
    cdef float *d = <float *>cnp.PyArray_DATA(dst)
    cdef nnjpeg_quantizers q = quantizers.view(&shape)
    cdef nnjpeg_colorspace colorspace = NNJPEG_YCBCR if ycbcr else NNJPEG_RGB
    cdef nnjpeg_precision precision = NNJPEG_UINT8 if exact else NNJPEG_FLOAT_CUBIC if cubic else NNJPEG_FLOAT
    cdef nnjpeg_status status
    with nogil:
        status = nnjpeg_roundtrip_f32(&shape, s, &ss, d, &ds, q, colorspace, <nnjpeg_subsampling>subsampling, precision,
                                      num_threads)
    check(status)


def cubic_backward_f32(cnp.ndarray grad not None, cnp.ndarray src not None, cnp.ndarray dst not None,
                       tuple axes not None, Quantizers quantizers not None, bint ycbcr, int num_threads,
                       int subsampling=0):
    cdef nnjpeg_shape shape = shape_of(src, axes)
    cdef nnjpeg_strides gs = strides_of(grad, axes), ss = strides_of(src, axes), ds = strides_of(dst, axes)
    cdef const float *g = <const float *>cnp.PyArray_DATA(grad)
    cdef const float *s = <const float *>cnp.PyArray_DATA(src)
    cdef float *d = <float *>cnp.PyArray_DATA(dst)
    cdef nnjpeg_quantizers q = quantizers.view(&shape)
    cdef nnjpeg_colorspace colorspace = NNJPEG_YCBCR if ycbcr else NNJPEG_RGB
    cdef nnjpeg_status status
    with nogil:
        status = nnjpeg_cubic_backward_f32(&shape, g, &gs, s, &ss, d, &ds, q, colorspace,
                                           <nnjpeg_subsampling>subsampling, num_threads)
    check(status)


def table_backward_f32(cnp.ndarray grad not None, cnp.ndarray src not None, float[:, :, ::1] dst not None,
                       tuple axes not None, Quantizers quantizers not None, bint ycbcr, bint cubic, int num_threads,
                       int subsampling=0):
    cdef nnjpeg_shape shape = shape_of(src, axes)
    cdef nnjpeg_strides gs = strides_of(grad, axes), ss = strides_of(src, axes)
    cdef const float *g = <const float *>cnp.PyArray_DATA(grad)
    cdef const float *s = <const float *>cnp.PyArray_DATA(src)
    cdef nnjpeg_quantizers q = quantizers.view(&shape)
    cdef nnjpeg_colorspace colorspace = NNJPEG_YCBCR if ycbcr else NNJPEG_RGB
    cdef nnjpeg_precision precision = NNJPEG_FLOAT_CUBIC if cubic else NNJPEG_FLOAT
    cdef nnjpeg_status status
    if (dst.shape[0], dst.shape[1], dst.shape[2]) != (quantizers.images, quantizers.components, NNJPEG_BLOCK_SIZE):
        raise ValueError(f"dst must have shape ({quantizers.images}, {quantizers.components}, 64)")
    cdef float *d = &dst[0, 0, 0]
    with nogil:
        status = nnjpeg_table_backward_f32(&shape, g, &gs, s, &ss, d, q, colorspace, <nnjpeg_subsampling>subsampling,
                                           precision, num_threads)
    check(status)


cdef int coefficients_of(tuple arrays, tuple axes, nnjpeg_coefficients coefficients[3]) except -1:
    """One array with an axis of components, or three without, whose other axes stand in the same order."""
    cdef tuple places = axes
    cdef cnp.ndarray array
    cdef int c
    if len(arrays) not in (1, 3):
        raise ValueError(f"coefficients must be one array or three, got {len(arrays)}")
    if len(arrays) == 3:
        places = tuple([-1 if axis == axes[1] else axis - (axis > axes[1]) for axis in axes])
    for c in range(len(arrays)):
        array = arrays[c]
        coefficients[c].data = <int16_t *>cnp.PyArray_DATA(array)
        coefficients[c].strides = strides_of(array, places)
    return 0


def forward(cnp.ndarray src not None, tuple dsts not None, tuple axes not None, Quantizers quantizers not None,
            bint ycbcr, int num_threads, int subsampling=0):
    cdef nnjpeg_shape shape = shape_of(src, axes)
    cdef nnjpeg_strides ss = strides_of(src, axes)
    cdef const uint8_t *s = <const uint8_t *>cnp.PyArray_DATA(src)
    cdef nnjpeg_coefficients[3] d
    cdef nnjpeg_quantizers q = quantizers.view(&shape)
    cdef nnjpeg_colorspace colorspace = NNJPEG_YCBCR if ycbcr else NNJPEG_RGB
    cdef nnjpeg_status status
    coefficients_of(dsts, axes, d)
    with nogil:
        status = nnjpeg_forward(&shape, s, &ss, d, q, colorspace, <nnjpeg_subsampling>subsampling, num_threads)
    check(status)


def inverse(tuple srcs not None, cnp.ndarray dst not None, tuple axes not None, Quantizers quantizers not None,
            bint ycbcr, int num_threads, int subsampling=0):
    cdef nnjpeg_shape shape = shape_of(dst, axes)
    cdef nnjpeg_strides ds = strides_of(dst, axes)
    cdef uint8_t *d = <uint8_t *>cnp.PyArray_DATA(dst)
    cdef nnjpeg_coefficients[3] s
    cdef nnjpeg_quantizers q = quantizers.view(&shape)
    cdef nnjpeg_colorspace colorspace = NNJPEG_YCBCR if ycbcr else NNJPEG_RGB
    cdef nnjpeg_status status
    coefficients_of(srcs, axes, s)
    with nogil:
        status = nnjpeg_inverse(&shape, s, d, &ds, q, colorspace, <nnjpeg_subsampling>subsampling, num_threads)
    check(status)


def coded_size(cnp.ndarray src not None, int64_t[::1] sizes not None, tuple axes not None, Quantizers quantizers not None,
               bint ycbcr, int num_threads, int subsampling=0, bint optimize=False, uint8_t[:, ::1] lengths=None):
    cdef nnjpeg_shape shape = shape_of(src, axes)
    cdef nnjpeg_strides ss = strides_of(src, axes)
    cdef const void *s = cnp.PyArray_DATA(src)
    cdef bint is_float = cnp.PyArray_TYPE(src) == cnp.NPY_FLOAT32
    cdef nnjpeg_quantizers q = quantizers.view(&shape)
    cdef nnjpeg_colorspace colorspace = NNJPEG_YCBCR if ycbcr else NNJPEG_RGB
    cdef nnjpeg_huffman huffman = NNJPEG_HUFFMAN_OPTIMAL if optimize else NNJPEG_HUFFMAN_STANDARD
    cdef nnjpeg_subsampling factors = <nnjpeg_subsampling>subsampling
    cdef int64_t *d
    cdef uint8_t *of_codes = NULL
    cdef nnjpeg_status status
    if sizes.shape[0] != shape.images:
        raise ValueError(f"sizes must have {shape.images} elements, got {sizes.shape[0]}")
    if lengths is not None and (lengths.shape[0] != shape.images or lengths.shape[1] != NNJPEG_CODE_LENGTHS):
        raise ValueError(f"lengths must have shape ({shape.images}, {NNJPEG_CODE_LENGTHS})")
    if shape.images == 0:
        return
    d = &sizes[0]
    if lengths is not None:
        of_codes = &lengths[0, 0]
    with nogil:
        if is_float:
            status = nnjpeg_coded_size_f32(&shape, <const float *>s, &ss, d, of_codes, q, colorspace, factors, huffman,
                                           num_threads)
        else:
            status = nnjpeg_coded_size(&shape, <const uint8_t *>s, &ss, d, of_codes, q, colorspace, factors, huffman,
                                       num_threads)
    check(status)


def rate_backward(cnp.ndarray src not None, const float[::1] weights not None, const uint8_t[:, ::1] lengths not None,
                  float[:, :, ::1] tables not None, cnp.ndarray dst, tuple axes not None,
                  Quantizers quantizers not None, bint ycbcr, int num_threads, int subsampling=0):
    cdef nnjpeg_shape shape = shape_of(src, axes)
    cdef nnjpeg_strides ss = strides_of(src, axes), ds = strides_of(src if dst is None else dst, axes)
    cdef const void *s = cnp.PyArray_DATA(src)
    cdef float *d = NULL if dst is None else <float *>cnp.PyArray_DATA(dst)
    cdef bint is_float = cnp.PyArray_TYPE(src) == cnp.NPY_FLOAT32
    cdef nnjpeg_quantizers q = quantizers.view(&shape)
    cdef nnjpeg_colorspace colorspace = NNJPEG_YCBCR if ycbcr else NNJPEG_RGB
    cdef nnjpeg_subsampling factors = <nnjpeg_subsampling>subsampling
    cdef nnjpeg_status status
    if (weights.shape[0] != shape.images or lengths.shape[0] != shape.images or lengths.shape[1] != NNJPEG_CODE_LENGTHS
            or tables.shape[0] != shape.images or tables.shape[1] != shape.components
            or tables.shape[2] != NNJPEG_BLOCK_SIZE):
        raise ValueError(f"weights, lengths and tables must be of {shape.images} images of {shape.components} components")
    if shape.images == 0:
        return
    with nogil:
        if is_float:
            status = nnjpeg_rate_backward_f32(&shape, <const float *>s, &ss, &weights[0], &lengths[0, 0], &tables[0, 0, 0],
                                              d, &ds, q, colorspace, factors, num_threads)
        else:
            status = nnjpeg_rate_backward(&shape, <const uint8_t *>s, &ss, &weights[0], &lengths[0, 0], &tables[0, 0, 0],
                                          q, colorspace, factors, num_threads)
    check(status)


def dct(cnp.ndarray src not None, cnp.ndarray dst not None, tuple axes not None):
    cdef nnjpeg_shape shape = shape_of(src, axes)
    cdef nnjpeg_strides ss = strides_of(src, axes), ds = strides_of(dst, axes)
    cdef const void *s = cnp.PyArray_DATA(src)
    cdef float *d = <float *>cnp.PyArray_DATA(dst)
    cdef bint is_float = cnp.PyArray_TYPE(src) == cnp.NPY_FLOAT32
    cdef nnjpeg_status status
    with nogil:
        if is_float:
            status = nnjpeg_dct_f32(&shape, <const float *>s, &ss, d, &ds)
        else:
            status = nnjpeg_dct_u8(&shape, <const uint8_t *>s, &ss, d, &ds)
    check(status)


def idct(cnp.ndarray src not None, cnp.ndarray dst not None, tuple axes not None):
    cdef nnjpeg_shape shape = shape_of(dst, axes)
    cdef nnjpeg_strides ss = strides_of(src, axes), ds = strides_of(dst, axes)
    cdef const float *s = <const float *>cnp.PyArray_DATA(src)
    cdef float *d = <float *>cnp.PyArray_DATA(dst)
    cdef nnjpeg_status status
    with nogil:
        status = nnjpeg_idct_f32(&shape, s, &ss, d, &ds)
    check(status)


def quantize(const int16_t[::1] coefficients not None, int16_t[::1] quantized not None, uint16_t step):
    cdef Py_ssize_t count = coefficients.shape[0]
    if quantized.shape[0] != count:
        raise ValueError("coefficients and quantized must have the same length")
    if count:
        check(nnjpeg_quantize(&coefficients[0], &quantized[0], count, step))


cdef extern from *:
    """
    /* The Arrow C data interface, as far as it is read here. */
    typedef struct ArrowArray {
        int64_t length, null_count, offset, n_buffers, n_children;
        void **buffers;
        struct ArrowArray **children;
    } ArrowArray;
    """
    ctypedef struct ArrowArray:
        int64_t length, offset, n_buffers, n_children
        void **buffers
        ArrowArray **children


def arrow_pixels(object capsule, Py_ssize_t height, Py_ssize_t width):
    """The memory of an Arrow array of 4-byte pixels, as an array (height, width, 4) that keeps the capsule alive."""
    cdef ArrowArray *pixels = <ArrowArray *>PyCapsule_GetPointer(capsule, "arrow_array")
    cdef ArrowArray *samples
    cdef cnp.npy_intp[3] shape = [height, width, 4]
    if pixels.n_children != 1 or pixels.length != height * width or pixels.offset:
        raise ValueError("not an Arrow array of pixels of this size")
    samples = pixels.children[0]
    if samples.n_buffers != 2 or samples.length != 4 * height * width or samples.offset:
        raise ValueError("not an Arrow array of 4-byte pixels")
    array = cnp.PyArray_SimpleNewFromData(3, shape, cnp.NPY_UINT8, samples.buffers[1])
    cnp.set_array_base(array, capsule)
    return array


def expect_writes(size_t address, Py_ssize_t size):
    nnjpeg_expect_writes(<void *>address, size)


def openmp_threads():
    return nnjpeg_openmp_threads()


def isa():
    cdef const char *name = nnjpeg_isa()
    return None if name == NULL else name.decode()


def compiled_isas():
    cdef int index = 0, supported = 0
    cdef const char *name
    isas = {}
    while True:
        name = nnjpeg_compiled_isa(index, &supported)
        if name == NULL:
            return isas
        isas[name.decode()] = bool(supported)
        index += 1


def use_isa(str name not None):
    check(nnjpeg_use_isa(name.encode()))


# Of a GPU: nothing here computes, or needs CUDA.

CUDA_THREADS = NNJPEG_CUDA_THREADS
CUDA_JOB_BYTES = sizeof(nnjpeg_cuda_job)


def cuda_types():
    """The types of samples by torch's names, each at its number."""
    return [nnjpeg_cuda_name_of_type(<nnjpeg_cuda_type><int>type).decode() for type in range(NNJPEG_CUDA_TYPE_COUNT)]


def cuda_kernels():
    """The kernels, each at its number: its file without the ending, its name, and the numbers of its types."""
    cdef const nnjpeg_cuda_description *description
    kernels = []
    for kernel in range(NNJPEG_CUDA_KERNEL_COUNT):
        description = nnjpeg_cuda_describe(<nnjpeg_cuda_kernel><int>kernel)
        types = [type for type in range(NNJPEG_CUDA_TYPE_COUNT) if description.types >> type & 1]
        kernels.append((description.file.decode(), description.name.decode(), types))
    return kernels


cdef nnjpeg_strides strides_from(tuple numbers) except *:
    cdef nnjpeg_strides strides
    strides.image, strides.component, strides.row, strides.column = numbers
    return strides


cdef class CudaPlan:
    """The launches that a call takes: nnjpeg_cuda_plan.

    Images are given by address and strides (in samples); `grad` is None in a round trip, `dst` where the gradient by the
    steps is asked for, at the address `steps_gradient`. tables: the number of their type, address, and strides by image and
    by component. workspace: how many bytes `use_workspace` wants the address of.
    """

    cdef nnjpeg_cuda_call call
    cdef nnjpeg_cuda_plan plan

    def __init__(self, int type, tuple shape not None, tuple src not None, tuple grad, tuple dst,
                 tuple tables not None, bint ycbcr, int subsampling, bint exact, bint cubic, size_t steps_gradient=0):
        cdef nnjpeg_cuda_call *call = &self.call
        call.type = <nnjpeg_cuda_type><int>type
        call.shape.images, call.shape.components, call.shape.height, call.shape.width = shape
        call.src.data, call.src.strides = <void *><size_t>src[0], strides_from(src[1])
        call.steps_gradient = <float *>steps_gradient
        if dst is not None:
            call.dst.data, call.dst.strides = <void *><size_t>dst[0], strides_from(dst[1])
        if grad is not None:
            call.grad.data, call.grad.strides = <void *><size_t>grad[0], strides_from(grad[1])
        call.tables.type = <nnjpeg_cuda_type><int>tables[0]
        call.tables.steps = <void *><size_t>tables[1]
        call.tables.image_stride, call.tables.component_stride = tables[2], tables[3]
        call.colorspace = NNJPEG_YCBCR if ycbcr else NNJPEG_RGB
        call.subsampling = <nnjpeg_subsampling>subsampling
        call.precision = NNJPEG_UINT8 if exact else NNJPEG_FLOAT_CUBIC if cubic else NNJPEG_FLOAT
        nnjpeg_cuda_plan_init(&self.plan, call)

    @property
    def workspace(self):
        return self.plan.workspace

    def use_workspace(self, size_t address):
        self.call.workspace = <void *>address
        nnjpeg_cuda_plan_init(&self.plan, &self.call)

    @property
    def job(self):
        """The address of what every kernel of this plan is given; as long as this object lives."""
        return <size_t>&self.plan.job

    @property
    def launches(self):
        """The numbers of kernel and type, and how many thread blocks, one launch after another."""
        return [
            (self.plan.launches[i].kernel, self.plan.launches[i].type, self.plan.launches[i].blocks)
            for i in range(self.plan.count)
        ]
