"""`ops.rate`: a file's size, its gradient against its definition, and against what files really gain and lose."""

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from tensors import compiles, noise, some_tables, uniform
from torch.autograd import forward_ad
from torch.library import opcheck

import nnjpeg
from nnjpeg import NN_TABLE, QTable, _plain, ops, reference
from nnjpeg._arguments import SUBSAMPLINGS
from nnjpeg.qtable import ZIGZAG

CODINGS = [{}, *({"colorspace": "ycbcr", "subsampling": name} for name in ("4:4:4", "4:2:2", "4:2:0"))]
NARROW = 0.25  # rate.c's: over which coefficients the jump from 0 to 1 is spread


def size(image, tables, **coding):
    return 8 * nnjpeg.coded_size(image.numpy(), tables, layout="CHW", **coding)


def tables_of(quality, coding):
    luma, chroma = QTable.standard_luminance(), QTable.standard_chrominance()
    chosen = [luma, chroma, chroma] if coding else [luma] * 3
    return np.stack([np.asarray(table.at_quality(quality)) for table in chosen]).astype(np.int64)


@pytest.mark.parametrize("optimize", [False, True])
@pytest.mark.parametrize("coding", CODINGS, ids=str)
def test_it_is_the_size_of_the_file(coding, optimize):
    batch, tables = noise(3, 3, 21, 35), some_tables(3, 3)
    expected = [size(x, list(t.numpy()), optimize=optimize, **coding) for x, t in zip(batch, tables, strict=True)]
    for image in (
        batch,
        batch / 255,
        (batch / 255).double(),
        (batch / 255).contiguous(memory_format=torch.channels_last),
    ):
        bits = ops.rate(image, tables, optimize=optimize, **coding)
        assert bits.dtype == torch.float32
        assert bits.tolist() == expected
        assert ops.rate(image, tables.float() + 0.3, optimize=optimize, **coding).tolist() == expected
    assert ops.rate(batch.reshape(3, 1, 3, 21, 35), NN_TABLE, **coding).shape == (3, 1)
    assert ops.rate(batch[0], NN_TABLE, **coding).item() == size(batch[0], NN_TABLE, **coding)
    assert ops.rate(batch[:0], NN_TABLE, **coding).shape == (0,)


def test_grey_images_have_one_component():
    image = noise(2, 1, 17, 9)
    for coding in CODINGS:
        expected = [size(x, NN_TABLE, **coding) for x in image]
        assert ops.rate(image, NN_TABLE, **coding).tolist() == expected


@pytest.mark.parametrize("quality", [20, 50, 75, 95])
def test_photographs(photos, quality):
    image = torch.from_numpy(photos["coffee"]).permute(2, 0, 1)
    for coding in CODINGS:
        tables = tables_of(quality, coding)
        assert ops.rate(image, torch.from_numpy(tables), **coding).item() == size(image, tables, **coding)


# The gradient by its definition: how the bits of a block change with one of its values.


def bits_of_block(values, ac):
    """Bits of the AC coefficients of a block, in zigzag order (ITU-T T.81, annex F.1.2.2)."""
    bits, run = 0, 0
    for value in values[1:]:
        if value == 0:
            run += 1
            continue
        while run > 15:
            bits, run = bits + ac[0xF0], run - 16
        length = int(abs(value)).bit_length()
        bits, run = bits + ac[run << 4 | length] + length, 0
    return bits + (ac[0] if run else 0)


def slope_of_block(u, ac):
    """By each of the AC coefficients u, in zigzag order."""
    values = np.floor(np.abs(u) + 0.5).astype(int)
    slopes = np.zeros(64)
    for i in range(1, 64):
        t = abs(u[i]) + 0.5
        with_value = lambda value, i=i: bits_of_block(np.where(np.arange(64) == i, value, values), ac)  # noqa: E731
        if abs(t - 1) < NARROW / 2:
            slopes[i] += (with_value(1) - with_value(0)) / NARROW
        octave = int(np.floor(np.log2(t * np.sqrt(2))))
        if octave > 0:
            slopes[i] += (with_value(2**octave) - with_value(2**octave - 1)) / (t * np.log(2))
    return slopes * np.sign(u)


def slope_of_difference(e, dc):
    def bits(value):
        return dc[value.bit_length()] + value.bit_length()

    t = abs(e) + 0.5
    octave = int(np.floor(np.log2(t * np.sqrt(2)))) if t else 0
    slope = bits(1) - bits(0) if abs(e) < 1 else 0.0
    if octave > 0:
        slope += (bits(2**octave) - bits(2**octave - 1)) / (t * np.log(2))
    return slope * np.sign(e)


def in_file_order(grid, h, v):
    rows, columns = grid.shape[:2]
    for row in range(0, rows, v):
        for column in range(0, columns, h):
            for y in range(row, min(row + v, rows)):
                for x in range(column, min(column + h, columns)):
                    yield y, x


def in_rows(planes):
    """Blocks (B, C, rows, columns, 8, 8) of planes."""
    return _plain._to_blocks(planes).permute(2, 3, 4, 5, 0, 1)


def expected_gradients(image, tables, lengths, ycbcr, h, v):
    """By a float image in 0..1 of whole levels, (1, C, H, W) in double precision, and by its tables."""
    levels = (image * 255).round().to(torch.int64)
    whole = reference.rgb_to_ycbcr(levels.movedim(1, 3)).movedim(3, 1) if ycbcr else levels
    coded = _plain._parts(whole, h, v)
    coded[1:] = [reference.downsample(plane, h, v) for plane in coded[1:]]
    leaf, steps = image.clone().requires_grad_(), tables.double().requires_grad_()
    # Linear in samples, so that it hands slopes back to them.
    smooth = _plain._parts(_plain._rgb_to_ycbcr(255 * leaf) if ycbcr else 255 * leaf, h, v)
    smooth[1:] = [_plain._downsample(plane, h, v) for plane in smooth[1:]]
    dct = _plain._dct_matrix(leaf)
    total, component = torch.zeros((), dtype=torch.float64), 0
    for planes, like in zip(coded, smooth, strict=True):
        blocks = dct @ (in_rows(planes).double() - 128) @ dct.T
        blocks[..., 0, 0] = (8 * blocks[..., 0, 0]).round() / 8  # which it is, so that equal ones differ by no sign
        graph = dct @ in_rows(like) @ dct.T
        for c in range(planes.shape[1]):
            q = steps[0, component]
            u = blocks[0, c] * _plain._TIE / q.detach()
            dc, ac = (lengths[int(ycbcr and component > 0), i].astype(int) for i in (0, 1))
            ac, dc = np.where(ac == 0, 16, ac), np.where(dc == 0, 16, dc)
            slopes, before, factors = torch.zeros_like(u), None, (h, v) if ycbcr and component == 0 else (1, 1)
            by_q = blocks[0, c] / q
            along = graph[0, c] / q.detach()
            for y, x in in_file_order(u, *factors):
                order = np.argsort(ZIGZAG.ravel())
                flat = u[y, x].reshape(64).numpy()[order]
                slopes[y, x].view(-1)[torch.from_numpy(order)] = torch.from_numpy(slope_of_block(flat, ac))
                difference = u[y, x, 0, 0].item() - (u[before][0, 0].item() if before else 0)
                slope = slope_of_difference(difference, dc)
                of_q, of_x = by_q[y, x, 0, 0], along[y, x, 0, 0]
                if before:
                    of_q, of_x = of_q - by_q[before][0, 0], of_x - along[before][0, 0]
                total = total + slope * (of_q + of_x)
                before = y, x
            total = total + (slopes * (by_q + along)).sum()
            component += 1
    return torch.autograd.grad(total, (leaf, steps))


@pytest.mark.parametrize("optimize", [False, True])
@pytest.mark.parametrize("shape", [(3, 21, 35), (3, 40, 33), (3, 5, 3), (1, 19, 12)])
@pytest.mark.parametrize("coding", CODINGS, ids=str)
def test_the_gradient_is_as_defined(isa, coding, shape, optimize, photos):
    components, height, width = shape
    photo = photos["chelsea"][100 : 100 + height, 200 : 200 + width, :components]
    image = torch.from_numpy(np.ascontiguousarray(photo)).permute(2, 0, 1)[None] / 255
    tables = some_tables(1, components, seed=height).clamp(2, 60)
    tables[..., ::4, ::4] = 61  # of rational coefficients: of finer steps, some would be exactly where a jump ends
    h, v = SUBSAMPLINGS[coding.get("subsampling", "4:4:4")] if components == 3 else (1, 1)
    ycbcr = bool(coding) and components == 3
    lengths = torch.ops.nnjpeg.rate(image, tables, ycbcr, h, v, optimize)[1].numpy().reshape(2, 2, 256)
    by_image, by_tables = expected_gradients(image.double(), tables, lengths, ycbcr, h, v)
    leaf, steps = image.clone().requires_grad_(), tables.float().requires_grad_()
    found = torch.autograd.grad(ops.rate(leaf, steps, optimize=optimize, **coding).sum(), (leaf, steps))
    for gradient, expected in zip(found, (by_image, by_tables), strict=True):
        torch.testing.assert_close(gradient.double(), expected, rtol=1e-3, atol=1e-3 * expected.abs().max().item())
    of_bytes = torch.autograd.grad(
        ops.rate((image * 255).round().byte(), steps, optimize=optimize, **coding).sum(), steps
    )
    torch.testing.assert_close(of_bytes[0], found[1])


@pytest.mark.slow
@pytest.mark.parametrize(("quality", "optimize"), [(50, False), (70, True), (90, False)])
@pytest.mark.parametrize("coding", [CODINGS[0], CODINGS[1], CODINGS[3]], ids=str)
def test_the_gradient_ranks_steps_as_files_do(photos, coding, quality, optimize):
    """By how much files change when one step of luma or of chroma changes by a tenth, up and down.

    The zeros that are stuffed after 0xFF come and go by chance, as many as the rarest coefficients cost, so they are
    left out here.
    """

    def written(image, tables):
        file = nnjpeg.encode(image, list(tables), optimize=optimize, **coding)
        return 8 * (len(file) - file.count(b"\xff\x00"))

    tables = tables_of(quality, coding)
    shared = [[0], [1, 2]] if coding else [[0, 1, 2]]
    changes, expected = np.zeros((len(shared), 64)), np.zeros((len(shared), 64))
    for photo in photos.values():
        image = np.ascontiguousarray(photo[20:276, 100:356])
        steps = torch.from_numpy(tables).float().requires_grad_()
        bits = ops.rate(torch.from_numpy(image).permute(2, 0, 1), steps, optimize=optimize, **coding)
        gradient = torch.autograd.grad(bits, steps)[0].reshape(3, 64)
        for g, components in enumerate(shared):
            expected[g] += gradient[components].sum(0).numpy()
            for k in range(64):
                q, other = tables[components[0]].flat[k], tables.copy()
                by, sizes = max(1, round(q / 10)), []
                ends = max(1, q - by), min(255, q + by)
                for step in ends:
                    other.reshape(3, 64)[components, k] = step
                    sizes.append(written(image, other))
                changes[g, k] += (sizes[1] - sizes[0]) / (ends[1] - ends[0])
    assert spearmanr(changes.ravel(), expected.ravel())[0] > 0.9
    assert expected.sum() == pytest.approx(changes.sum(), rel=0.15)


def test_fewer_bits_along_the_gradient_of_an_image(photos):
    image = torch.from_numpy(photos["coffee"][:128, :128]).permute(2, 0, 1) / 255
    leaf = image.clone().requires_grad_()
    before = ops.rate(leaf, NN_TABLE)
    (gradient,) = torch.autograd.grad(before, leaf)
    moved = image - gradient / gradient.abs().max() * (2 / 255)
    assert ops.rate(moved, NN_TABLE) < 0.98 * before
    outside = torch.where(image > 0.5, image + 2, image).requires_grad_()
    (gradient,) = torch.autograd.grad(ops.rate(outside, NN_TABLE), outside)
    assert (gradient[outside > 1] == 0).all()
    assert (gradient[outside <= 1] != 0).any()


def test_nan_counts_as_zero():
    image = uniform(1, 3, 16, 16)
    image[0, 1, 3, 5] = torch.nan
    leaf, steps = image.clone().requires_grad_(), torch.full((8, 8), 9.0, requires_grad=True)
    bits = ops.rate(leaf, steps)
    assert torch.equal(bits, ops.rate(image.nan_to_num(0), steps))
    for gradient in torch.autograd.grad(bits.sum(), (leaf, steps)):
        assert gradient.isfinite().all()


def test_the_gradient_of_a_shared_table_is_a_sum_and_scales():
    image = noise(2, 3, 24, 24)
    own = some_tables(1, 1).float().expand(2, 3, 8, 8).clone().requires_grad_()
    (each,) = torch.autograd.grad(ops.rate(image, own) @ torch.tensor([2.0, -1.0]), own)
    ones = [torch.autograd.grad(ops.rate(image, own)[i], own)[0] for i in (0, 1)]
    torch.testing.assert_close(each, 2 * ones[0] - ones[1])
    for whole, shape in (((1, 1), (8, 8)), ((1, 3), (3, 8, 8)), ((2, 1), (2, 1, 8, 8))):
        table = own.detach()[:1, :1].expand(*whole, 8, 8).reshape(shape).clone().requires_grad_()
        (gradient,) = torch.autograd.grad(ops.rate(image, table) @ torch.tensor([2.0, -1.0]), table)
        torch.testing.assert_close(gradient.reshape(*whole, 8, 8), each.sum_to_size(*whole, 8, 8))


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # opcheck's own
@pytest.mark.parametrize("factors", [(1, 1), (2, 2)])
def test_opcheck(factors):
    leaf, tables = uniform(2, 3, 13, 21).requires_grad_(), some_tables(2, 3).float().requires_grad_()
    for image in (leaf, noise(2, 3, 13, 21), leaf.detach().contiguous(memory_format=torch.channels_last)):
        opcheck(torch.ops.nnjpeg.rate, (image, tables, True, *factors, True))
    lengths = torch.ops.nnjpeg.rate(leaf, tables, True, *factors, True)[1]
    for by_image in (True, False):
        operands = torch.ones(2), leaf.detach(), tables.detach(), lengths, True, *factors, by_image
        opcheck(torch.ops.nnjpeg.rate_backward, operands)


@pytest.mark.slow
@compiles
def test_compile_without_a_graph_break():
    def loss(image, table):
        return ops.rate(image, table, colorspace="ycbcr", subsampling="4:2:0").mean()

    image, table = uniform(2, 3, 16, 16).requires_grad_(), torch.full((8, 8), 12.4, requires_grad=True)
    expected = loss(image, table)
    result = torch.compile(loss, fullgraph=True)(image, table)
    assert torch.equal(result, expected)
    pairs = zip(torch.autograd.grad(result, (image, table)), torch.autograd.grad(expected, (image, table)), strict=True)
    for gradient, other in pairs:
        torch.testing.assert_close(gradient, other)


def test_vmap_and_functional_gradients():
    images, tables = uniform(4, 2, 3, 16, 16), some_tables(4, 1, 1).float()
    mapped = torch.func.vmap(ops.rate)(images, tables)
    assert torch.equal(mapped, torch.stack([ops.rate(x, t) for x, t in zip(images, tables, strict=True)]))
    assert torch.equal(torch.func.vmap(lambda x: ops.rate(x, tables[0]))(images)[1], ops.rate(images[1], tables[0]))

    def loss(image, table):
        return ops.rate(image, table).sum()

    by_image, by_table = torch.func.vmap(torch.func.grad(loss, (0, 1)))(images, tables)
    for i in range(4):
        image, table = images[i].clone().requires_grad_(), tables[i].clone().requires_grad_()
        expected = torch.autograd.grad(loss(image, table), (image, table))
        torch.testing.assert_close((by_image[i], by_table[i]), expected)
    shared = torch.func.vmap(torch.func.grad(lambda t, x: loss(x, t)), (None, 0))(tables[0], images)
    one = torch.func.grad(lambda t: loss(images[2], t))(tables[0])
    torch.testing.assert_close(shared[2], one)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # what torch imports for forward mode
@pytest.mark.parametrize("sharing", [(1, 1), (1, 3), (2, 1), (2, 3)])
def test_forward_mode_has_the_derivative_of_backward_mode(sharing):
    image, table = uniform(2, 3, 17, 24), some_tables(*sharing).float()
    tangents = uniform(*image.shape), uniform(*table.shape)

    def rate(x, t):
        return ops.rate(x, t, colorspace="ycbcr", subsampling="4:2:0")

    by_image, by_table = torch.func.jacrev(rate, (0, 1))(image, table)
    expected = (by_image * tangents[0]).sum((1, 2, 3, 4)) + (by_table * tangents[1]).sum((1, 2, 3, 4))
    bits, change = torch.func.jvp(rate, (image, table), tangents)
    assert torch.equal(bits, rate(image, table))
    torch.testing.assert_close(change, expected)
    with forward_ad.dual_level():
        dual = rate(forward_ad.make_dual(image, tangents[0]), forward_ad.make_dual(table, tangents[1]))
        torch.testing.assert_close(forward_ad.unpack_dual(dual).tangent, expected)
        alone = rate(noise(2, 3, 17, 24), forward_ad.make_dual(table, tangents[1]))
        assert forward_ad.unpack_dual(alone).tangent is not None
    torch.testing.assert_close(torch.func.jacfwd(rate, 1)(image, table), by_table)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
def test_there_is_no_second_derivative():
    table = torch.full((8, 8), 12.0, requires_grad=True)
    (gradient,) = torch.autograd.grad(ops.rate(noise(1, 3, 16, 16), table).sum(), table, create_graph=True)
    with pytest.raises(NotImplementedError, match="the gradient of a file's size has no derivative"):
        gradient.sum().backward()
    with pytest.raises(NotImplementedError, match="the gradient of a file's size has no derivative"):
        torch.func.hessian(lambda t: ops.rate(noise(1, 3, 16, 16), t).sum())(table.detach())


def test_bad_arguments():
    image = noise(2, 3, 16, 16)
    for call, error, message in (
        (lambda: ops.rate(image.numpy(), NN_TABLE), TypeError, "image must be a tensor, got ndarray"),
        (lambda: ops.rate(image.int(), NN_TABLE), TypeError, "image must be a tensor of dtype"),
        (lambda: ops.rate(image[:, :2], NN_TABLE), ValueError, "1 or 3 components to be a JPEG file, got 2"),
        (lambda: ops.rate(image[0, 0], NN_TABLE), ValueError, r"shape \(\.\.\., C, H, W\)"),
        (lambda: ops.rate(image[0, 0].expand(1, 1, 65501, 16, 16)[0, :, :, 0], NN_TABLE), ValueError, "at most 65500"),
        (lambda: ops.rate(image, torch.ones(7, 8)), ValueError, "qtable must have shape"),
        (lambda: ops.rate(image, NN_TABLE, subsampling="4:2:0"), ValueError, "needs colorspace 'ycbcr'"),
        (lambda: ops.rate(image, NN_TABLE, colorspace="ycbcr", subsampling="4:4:0"), ValueError, "Pillow cannot write"),
        (lambda: ops.rate(image, NN_TABLE, colorspace="cmyk"), ValueError, "colorspace must be"),
        (lambda: ops.rate(image, NN_TABLE, optimize="no"), TypeError, "optimize must be True or False, got 'no'"),
    ):
        with pytest.raises(error, match=message):
            call()
    operands = image, some_tables(1, 1), False, 1, 1
    bits, lengths = torch.ops.nnjpeg.rate(*operands, False)
    backward = torch.ops.nnjpeg.rate_backward
    with pytest.raises(TypeError, match=r"torch\.uint8 or torch\.float32, got torch\.float16"):
        torch.ops.nnjpeg.rate(image.half(), *operands[1:], False)
    with pytest.raises(ValueError, match=r"grad must be float32 of shape \(2,\)"):
        backward(bits[:1], *operands[:2], lengths, *operands[2:], True)
    with pytest.raises(ValueError, match=r"lengths must be uint8 of shape \(2, 1024\)"):
        backward(bits, *operands[:2], lengths[:, :4], *operands[2:], True)
