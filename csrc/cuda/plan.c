/* A call made ready for the kernels, and the launches that it takes.
 *
 * A thread takes one block through all stages. Neighbouring threads have neighbouring blocks, so that a warp reads and writes
 * whole rows of memory. Of YCbCr, a first launch leaves chroma decoded in the workspace, and a second one takes luma and, on
 * its way out, chroma: registers hold one block, not three. Tables of floats take a launch of their own before. */
#include <string.h>

#include "job.h"

const nnjpeg_cuda_description *nnjpeg_cuda_describe(nnjpeg_cuda_kernel kernel)
{
#define DESCRIPTION(file, name, types) { #file, #name, NNJPEG_CUDA_##types },
    static const nnjpeg_cuda_description descriptions[] = { NNJPEG_CUDA_KERNELS(DESCRIPTION) };
#undef DESCRIPTION
    return &descriptions[kernel];
}

const char *nnjpeg_cuda_name_of_type(nnjpeg_cuda_type type)
{
#define NAME(name, size) #name,
    static const char *const names[] = { NNJPEG_CUDA_TYPES(NAME) };
#undef NAME
    return names[type];
}

static int is_exact(const nnjpeg_cuda_call *call)
{
    return call->type == NNJPEG_CUDA_uint8 || call->precision == NNJPEG_UINT8;
}

static ptrdiff_t size_of(nnjpeg_cuda_type type)
{
#define SIZE(name, size) size,
    static const unsigned char sizes[] = { NNJPEG_CUDA_TYPES(SIZE) };
#undef SIZE
    return sizes[type];
}

static nnjpeg_cuda_plane plane_of(ptrdiff_t height, ptrdiff_t width)
{
    nnjpeg_cuda_plane plane;
    plane.height = height;
    plane.width = width;
    plane.rows = (unsigned)((height - 1) / NNJPEG_BLOCK + 1);
    plane.columns = (unsigned)((width - 1) / NNJPEG_BLOCK + 1);
    return plane;
}

static int is_aligned(ptrdiff_t count, ptrdiff_t stride, ptrdiff_t size, ptrdiff_t alignment)
{
    return count < 2 || stride * size % alignment == 0;
}

static nnjpeg_cuda_layout view_layout(const nnjpeg_cuda_call *call, const nnjpeg_cuda_view *view)
{
    const nnjpeg_shape *shape = &call->shape;
    const nnjpeg_strides *s = &view->strides;
    const ptrdiff_t size = size_of(call->type), alignment = size > 2 ? 16 : 8 * size;
    if ((uintptr_t)view->data % (uintptr_t)alignment || !is_aligned(shape->height, s->row, size, alignment) ||
        !is_aligned(shape->images, s->image, size, alignment))
        return NNJPEG_CUDA_STRIDED;
    if (s->column == 1 && is_aligned(shape->components, s->component, size, alignment))
        return NNJPEG_CUDA_PLANAR;
    return shape->components == 3 && s->component == 1 && s->column == 3 ? NNJPEG_CUDA_INTERLEAVED : NNJPEG_CUDA_STRIDED;
}

static nnjpeg_cuda_layout layout_of(const nnjpeg_cuda_call *call)
{
    const nnjpeg_cuda_layout layout = view_layout(call, &call->src);
    const int common = (call->steps_gradient || layout == view_layout(call, &call->dst)) &&
                       (!call->grad.data || layout == view_layout(call, &call->grad));
    return common ? layout : NNJPEG_CUDA_STRIDED;
}

/* The next piece of the workspace, which a call that only asks for its size does not have yet. */
static void *take(nnjpeg_cuda_plan *plan, size_t bytes)
{
    void *workspace = plan->job.call.workspace, *piece = workspace ? (uint8_t *)workspace + plan->workspace : NULL;
    plan->workspace += bytes;
    return piece;
}

static size_t samples_of(const nnjpeg_cuda_job *job, const nnjpeg_cuda_plane *plane, size_t planes)
{
    return planes * (size_t)job->call.shape.images * plane->rows * plane->columns * NNJPEG_BLOCK_SIZE;
}

/* Enough thread blocks for so many threads. */
static unsigned blocks_for(size_t threads)
{
    return (unsigned)((threads - 1) / NNJPEG_CUDA_THREADS + 1);
}

static void launch(nnjpeg_cuda_plan *plan, nnjpeg_cuda_kernel kernel, nnjpeg_cuda_type type, unsigned blocks)
{
    nnjpeg_cuda_launch *launch = &plan->launches[plan->count++];
    launch->kernel = kernel;
    launch->type = type;
    launch->blocks = blocks;
}

/* How many tables an image has, and how many there are. */
static size_t tables_of_image(const nnjpeg_cuda_call *call)
{
    return call->tables.component_stride ? (size_t)call->shape.components : 1;
}

static size_t tables_of(const nnjpeg_cuda_call *call)
{
    return (call->tables.image_stride ? (size_t)call->shape.images : 1) * tables_of_image(call);
}

/* Tables of floats are rounded to bytes in the workspace; a thread takes one step. */
static void plan_tables(nnjpeg_cuda_plan *plan)
{
    const nnjpeg_cuda_call *call = &plan->job.call;
    nnjpeg_cuda_tables *to = &plan->job.tables;
    const size_t steps = tables_of(call) * NNJPEG_BLOCK_SIZE;
    *to = call->tables;
    if (to->type == NNJPEG_CUDA_uint8)
        return;
    to->type = NNJPEG_CUDA_uint8;
    to->steps = take(plan, steps);
    to->image_stride = to->image_stride ? NNJPEG_BLOCK_SIZE * (ptrdiff_t)tables_of_image(call) : 0;
    to->component_stride = to->component_stride ? NNJPEG_BLOCK_SIZE : 0;
    launch(plan, NNJPEG_CUDA_round_tables, NNJPEG_CUDA_float32, blocks_for(steps));
}

static void plan_planes(nnjpeg_cuda_plan *plan)
{
    const nnjpeg_cuda_job *job = &plan->job;
    const unsigned blocks = (unsigned)job->call.shape.images * job->units * job->full.rows * job->full.columns;
    const nnjpeg_cuda_kernel kernel = job->call.steps_gradient ? NNJPEG_CUDA_by_steps_plane
                                      : job->call.grad.data    ? NNJPEG_CUDA_backward_plane
                                      : is_exact(&job->call)   ? NNJPEG_CUDA_exact_plane
                                                               : NNJPEG_CUDA_float_plane;
    launch(plan, kernel, job->call.type, blocks_for(blocks));
}

static void plan_ycbcr(nnjpeg_cuda_plan *plan)
{
    nnjpeg_cuda_job *job = &plan->job;
    const nnjpeg_cuda_type type = job->call.type;
    const unsigned images = (unsigned)job->call.shape.images;
    const unsigned luma = blocks_for(images * job->full.rows * job->full.columns);
    const unsigned chroma = 2 * blocks_for(images * job->chroma.rows * job->chroma.columns);
    const int exact = is_exact(&job->call);
    job->decoded_chroma = take(plan, samples_of(job, &job->chroma, 2) * (exact ? sizeof(uint8_t) : sizeof(float)));
    if (job->call.grad.data) {
        job->chroma_slopes = (float *)take(plan, samples_of(job, &job->chroma, 2) * sizeof(float));
        job->gradients = (float *)take(plan, samples_of(job, &job->full, 3) * sizeof(float));
    }
    if (job->call.steps_gradient) {
        launch(plan, NNJPEG_CUDA_decode_chroma_by_steps, type, chroma);
        launch(plan, NNJPEG_CUDA_luma_by_steps, type, luma);
        launch(plan, NNJPEG_CUDA_chroma_by_steps, NNJPEG_CUDA_float32, chroma);
    } else if (job->call.grad.data) {
        launch(plan, NNJPEG_CUDA_decode_chroma, type, chroma);
        launch(plan, NNJPEG_CUDA_luma_gradient, type, luma);
        launch(plan, NNJPEG_CUDA_chroma_gradient, NNJPEG_CUDA_float32, chroma);
        launch(plan, NNJPEG_CUDA_pixel_gradient, type, luma);
    } else {
        launch(plan, exact ? NNJPEG_CUDA_exact_chroma : NNJPEG_CUDA_float_chroma, type, chroma);
        launch(plan, exact ? NNJPEG_CUDA_exact_luma : NNJPEG_CUDA_float_luma, type, luma);
    }
}

/* As many parts as a part has blocks, if all share one table; for tables of each image, of those of an image. */
static void plan_sums(nnjpeg_cuda_plan *plan)
{
    nnjpeg_cuda_job *job = &plan->job;
    const nnjpeg_cuda_call *call = &job->call;
    const size_t products = samples_of(job, &job->full, 1) + samples_of(job, &job->chroma, (size_t)call->shape.components - 1);
    const size_t blocks = products / NNJPEG_BLOCK_SIZE / (call->tables.image_stride ? (size_t)call->shape.images : 1);
    size_t partials;
    job->chunks = 1;
    while ((size_t)job->chunks * job->chunks < blocks)
        job->chunks++;
    partials = tables_of(call) * job->chunks * NNJPEG_BLOCK_SIZE;
    job->products = (float *)take(plan, products * sizeof(float));
    job->partials = (float *)take(plan, partials * sizeof(float));
    launch(plan, NNJPEG_CUDA_sum_blocks, NNJPEG_CUDA_float32, blocks_for(partials));
    launch(plan, NNJPEG_CUDA_sum_chunks, NNJPEG_CUDA_float32, blocks_for(tables_of(call) * NNJPEG_BLOCK_SIZE));
}

void nnjpeg_cuda_plan_init(nnjpeg_cuda_plan *plan, const nnjpeg_cuda_call *call)
{
    const nnjpeg_shape *shape = &call->shape;
    nnjpeg_cuda_job *job = &plan->job;
    memset(plan, 0, sizeof *plan);
    if (shape->images == 0)
        return;
    job->call = *call;
    job->layout = layout_of(call);
    job->units = call->colorspace == NNJPEG_YCBCR ? 1 : (unsigned)shape->components;
    job->units_first = job->units > 1 && call->src.strides.component == 1;
    job->h = call->subsampling == NNJPEG_422 || call->subsampling == NNJPEG_420 ? 2 : 1;
    job->v = call->subsampling == NNJPEG_440 || call->subsampling == NNJPEG_420 ? 2 : 1;
    job->full = plane_of(shape->height, shape->width);
    job->chroma = plane_of((shape->height - 1) / job->v + 1, (shape->width - 1) / job->h + 1);
    plan_tables(plan);
    if (call->colorspace == NNJPEG_YCBCR)
        plan_ycbcr(plan);
    else
        plan_planes(plan);
    if (call->steps_gradient)
        plan_sums(plan);
}
