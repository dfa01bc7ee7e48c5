/* The kernels as torch operators for CUDA. The schemas are nnjpeg/ops.py's; by torch's stable ABI, one build serves every
 * torch from 2.10 on. */
#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <stdexcept>
#include <string>

#include "launcher.h"

namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

/* STD_TORCH_CHECK without the stream that it makes its message with. */
#define NJ_CHECK(holds, message)               \
    do {                                       \
        if (!(holds))                          \
            throw std::runtime_error(message); \
    } while (0)

nnjpeg_cuda_type type_of(const Tensor &image)
{
    switch (image.scalar_type()) {
    case ScalarType::Byte:
        return NNJPEG_CUDA_uint8;
    case ScalarType::Float:
        return NNJPEG_CUDA_float32;
    case ScalarType::Half:
        return NNJPEG_CUDA_float16;
    case ScalarType::BFloat16:
        return NNJPEG_CUDA_bfloat16;
    default:
        throw std::runtime_error("image must have dtype uint8, float32, float16 or bfloat16");
    }
}

nnjpeg_cuda_view view_of(const Tensor &t)
{
    return { t.data_ptr(), { t.stride(0), t.stride(1), t.stride(2), t.stride(3) } };
}

void check_like(const Tensor &t, const Tensor &image, const char *name)
{
    bool same = t.is_cuda() && t.dim() == 4 && t.scalar_type() == image.scalar_type() &&
                t.get_device_index() == image.get_device_index();
    for (int axis = 0; same && axis < 4; axis++)
        same = t.size(axis) == image.size(axis);
    NJ_CHECK(same, std::string(name) + " must have the shape, dtype and device of image");
}

/* Tables as the kernels read them: contiguous, and aligned to 16 bytes. */
Tensor readable_tables(const Tensor &qtable, const Tensor &image)
{
    const bool fits = qtable.is_cuda() && qtable.get_device_index() == image.get_device_index() &&
                      (qtable.scalar_type() == ScalarType::Byte || qtable.scalar_type() == ScalarType::Float) &&
                      qtable.dim() == 4 && (qtable.size(0) == 1 || qtable.size(0) == image.size(0)) &&
                      (qtable.size(1) == 1 || qtable.size(1) == image.size(1)) && qtable.size(2) == 8 &&
                      qtable.size(3) == 8;
    NJ_CHECK(fits, "qtable must be a tensor of uint8 or float32 and shape (B or 1, C or 1, 8, 8) on image's device");
    const Tensor table = torch::stable::contiguous(qtable);
    return reinterpret_cast<uintptr_t>(table.data_ptr()) % 16 == 0 ? table : torch::stable::clone(table);
}

nnjpeg_cuda_tables tables_of(const Tensor &table)
{
    return { table.data_ptr(), table.size(0) > 1 ? 64 * table.size(1) : 0, table.size(1) > 1 ? 64 : 0, type_of(table) };
}

nnjpeg_subsampling subsampling_of(int64_t h, int64_t v, bool ycbcr)
{
    NJ_CHECK((h == 1 || h == 2) && (v == 1 || v == 2) && (ycbcr || h * v == 1),
             "(h, v) must be one of (1, 1), (2, 1), (2, 2), (1, 2), and (1, 1) where YCbCr is not coded, got (" +
                 std::to_string(h) + ", " + std::to_string(v) + ")");
    return h == 2 ? v == 2 ? NNJPEG_420 : NNJPEG_422 : v == 2 ? NNJPEG_440 : NNJPEG_444;
}

/* What a call gives: a round trip, or its gradient by the image or the tables. */
enum Result { ROUNDTRIP, BY_IMAGE, BY_TABLES };

Tensor run(Result kind, const Tensor *grad, const Tensor &image, const Tensor &qtable, bool ycbcr,
           nnjpeg_subsampling subsampling, nnjpeg_precision precision)
{
    NJ_CHECK(image.is_cuda() && image.dim() == 4, "image must be a CUDA tensor of shape (B, C, H, W)");
    NJ_CHECK(!ycbcr || image.size(1) == 3, "ycbcr needs 3 components");
    const ptrdiff_t block_rows = (image.size(2) + 7) / 8, block_columns = (image.size(3) + 7) / 8;
    NJ_CHECK(static_cast<double>(image.size(0)) * image.size(1) * block_rows * block_columns < 2147483648.0,
             "image must have fewer than 2^31 blocks");

    const torch::stable::accelerator::DeviceGuard guard(image.get_device_index());
    const Tensor table = readable_tables(qtable, image);
    Tensor result = kind == BY_TABLES ? torch::stable::new_zeros(image, { table.size(0), table.size(1), 8, 8 }, ScalarType::Float)
                                      : torch::stable::empty_like(image);
    nnjpeg_cuda_call call{};
    call.shape = { image.size(0), image.size(1), image.size(2), image.size(3) };
    call.type = type_of(image);
    call.src = view_of(image);
    if (kind == BY_TABLES)
        call.steps_gradient = static_cast<float *>(result.data_ptr());
    else
        call.dst = view_of(result);
    if (grad) {
        check_like(*grad, image, "grad");
        call.grad = view_of(*grad);
    }
    call.tables = tables_of(table);
    call.colorspace = ycbcr ? NNJPEG_YCBCR : NNJPEG_RGB;
    call.subsampling = subsampling;
    call.precision = precision;
    if (image.numel() == 0)
        return result;
    nnjpeg_cuda_plan plan;
    nnjpeg_cuda_plan_init(&plan, &call);
    Tensor workspace;
    if (plan.workspace > 0) {
        workspace = torch::stable::new_empty(image, { static_cast<int64_t>(plan.workspace) }, ScalarType::Byte);
        call.workspace = workspace.data_ptr();
        nnjpeg_cuda_plan_init(&plan, &call);
    }

    void *stream = nullptr;
    NJ_CHECK(aoti_torch_get_current_cuda_stream(image.get_device_index(), &stream) == AOTI_TORCH_SUCCESS,
             "CUDA: no current stream");
    for (int i = 0; i < plan.count; i++) {
        const int error = nnjpeg_cuda_launch_kernel(&plan.launches[i], &plan.job, stream);
        NJ_CHECK(error == 0, std::string("CUDA: ") + nnjpeg_cuda_error(error));
    }
    return result;
}

Tensor roundtrip(const Tensor &image, const Tensor &qtable, bool ycbcr, int64_t h, int64_t v, bool exact, bool cubic)
{
    return run(ROUNDTRIP, nullptr, image, qtable, ycbcr, subsampling_of(h, v, ycbcr),
               exact ? NNJPEG_UINT8 : cubic ? NNJPEG_FLOAT_CUBIC : NNJPEG_FLOAT);
}

Tensor cubic_backward(const Tensor &grad, const Tensor &image, const Tensor &qtable, bool ycbcr, int64_t h, int64_t v)
{
    return run(BY_IMAGE, &grad, image, qtable, ycbcr, subsampling_of(h, v, ycbcr), NNJPEG_FLOAT_CUBIC);
}

Tensor table_backward(const Tensor &grad, const Tensor &image, const Tensor &qtable, bool ycbcr, int64_t h, int64_t v,
                      bool cubic)
{
    return run(BY_TABLES, &grad, image, qtable, ycbcr, subsampling_of(h, v, ycbcr),
               cubic ? NNJPEG_FLOAT_CUBIC : NNJPEG_FLOAT);
}

} /* namespace */

STABLE_TORCH_LIBRARY_IMPL(nnjpeg, CUDA, library)
{
    library.impl("roundtrip", TORCH_BOX(&roundtrip));
    library.impl("cubic_backward", TORCH_BOX(&cubic_backward));
    library.impl("table_backward", TORCH_BOX(&table_backward));
}
