//! What the safe float entries ask of their arguments; see [`crate::contracts`].

use std::ops::Range;

use super::epilogue::{Epilogue, Residual};
use super::gemm::{self, Rows};
use super::normalization::{Channels, Norm, Statistic, Vectors, batch, by_norm, statistics, vectors};
use super::reduce::{self, Reduce};
use super::scores::{self, Scores};
use super::softmax::{Sum, softmax};
use super::unary::{self, Unary};
use super::{depthwise, half, interleave, interpolate, pool, transpose};
use crate::contracts::{Change, refused, refuses};
use crate::geometry::Window;
use crate::table::Kernels;

/// A product of 3 rows of 4 with 5 columns, or of as many rows of 2 taps.
struct Product {
    m: usize,
    is_dense: bool,
    data: usize,
    data_stride: usize,
    offsets: usize,
    packed: usize,
    out: usize,
    stride: usize,
    bias: usize,
    residual: usize,
    residual_stride: usize,
}

fn multiply(p: &Product) {
    let (data, offsets, packed) = (vec![1.0; p.data], vec![0; p.offsets], vec![1.0; p.packed]);
    let (bias, residual) = (vec![1.0; p.bias], vec![1.0; p.residual]);
    let rows = if p.is_dense {
        Rows::Dense { data: &data, stride: p.data_stride }
    } else {
        Rows::Indirect { data: &data, offsets: &offsets, taps: 2 }
    };
    let residual = Some(Residual { data: &residual, stride: p.residual_stride });
    let epilogue = Epilogue { bias: Some(&bias), residual, activation: None };
    gemm::run(Kernels::best(), p.m, &rows, &packed, 5, 4, &epilogue, &mut vec![0.0; p.out], p.stride);
}

#[test]
fn products() {
    let dense = || Product {
        m: 3,
        is_dense: true,
        data: 16,
        data_stride: 6,
        offsets: 0,
        packed: gemm::packed_len(5, 1, 4),
        out: 17,
        stride: 6,
        bias: 5,
        residual: 15,
        residual_stride: 5,
    };
    let changes: [Change<Product>; 13] = [
        ("a short left side", |p| p.data -= 1),
        ("a left stride that wraps", |p| p.data_stride = 1 << 63),
        ("short packed weights", |p| p.packed -= 1),
        ("long packed weights", |p| p.packed += 1),
        ("a short output", |p| p.out -= 1),
        ("rows that overlap", |p| p.stride = 4),
        ("an output stride that wraps", |p| p.stride = 1 << 63),
        ("a short bias", |p| p.bias -= 1),
        ("a long bias", |p| p.bias += 1),
        ("a short residual", |p| p.residual -= 1),
        ("rows that leave the residual", |p| p.residual_stride = 6),
        ("a residual stride that wraps", |p| p.residual_stride = 1 << 63),
        ("a row more than there is", |p| p.m = 4),
    ];
    refuses(dense, multiply, &changes);
    let indirect =
        || Product { is_dense: false, data: 4, offsets: 6, packed: gemm::packed_len(5, 2, 4), ..dense() };
    let changes: [Change<Product>; 3] = [
        ("offsets for some rows alone", |p| p.offsets -= 1),
        ("packed weights of one tap", |p| p.packed /= 2),
        ("more rows than offsets", |p| (p.m, p.offsets, p.out, p.residual) = (4, 7, 24, 24)),
    ];
    refuses(indirect, multiply, &changes);
    // One row has no next one that it could overlap.
    multiply(&Product { m: 1, data: 4, out: 5, stride: 0, residual: 5, ..dense() });
    let pack = |weights: usize, more: isize| {
        let len = gemm::packed_len(5, 2, 4).wrapping_add_signed(more);
        gemm::pack(&vec![1.0; weights], 5, 2, 4, &mut vec![0.0; len]);
    };
    let pack_strided = |more: isize| {
        let len = gemm::packed_len(5, 1, 4).wrapping_add_signed(more);
        gemm::pack_strided(&[1.0; 20], 5, 4, 4, 1, &mut vec![0.0; len]);
    };
    pack(40, 0);
    pack_strided(0);
    assert!(
        refused(|| pack(39, 0))
            && refused(|| pack(41, 0))
            && refused(|| pack(40, -1))
            && refused(|| pack(40, 1))
    );
    assert!(refused(|| pack_strided(-1)) && refused(|| pack_strided(1)));
}

/// An image of 5 x 4 pixels of 17 channels under a window of 2 x 3, 3 of whose 4 rows are asked for.
struct Image {
    window: Window,
    rows: Range<usize>,
    x: usize,
    weights: usize,
    bias: usize,
    residual: usize,
    residual_stride: usize,
    out: usize,
}

fn image() -> Image {
    let window = Window {
        input: [5, 4],
        channels: 17,
        output: [4, 2],
        kernel: [2, 3],
        stride: [1, 1],
        dilation: [1, 1],
        pad: [0, 0],
    };
    let out = 3 * 2 * 17;
    Image { window, rows: 1..4, x: 340, weights: 102, bias: 17, residual: out, residual_stride: 17, out }
}

#[test]
fn windows() {
    let k = Kernels::best();
    let filter = |i: &Image| {
        let (x, weights, bias) = (vec![1.0; i.x], vec![1.0; i.weights], vec![1.0; i.bias]);
        let residual = vec![1.0; i.residual];
        let residual = Some(Residual { data: &residual, stride: i.residual_stride });
        let epilogue = Epilogue { bias: Some(&bias), residual, activation: None };
        depthwise::run(k, &x, &weights, &i.window, &epilogue, i.rows.clone(), &mut vec![0.0; i.out]);
    };
    let max =
        |i: &Image| pool::max_pool(k, &vec![1.0; i.x], &i.window, i.rows.clone(), &mut vec![0.0; i.out]);
    let average = |i: &Image| {
        pool::average_pool(k, &vec![1.0; i.x], &i.window, None, i.rows.clone(), &mut vec![0.0; i.out]);
    };
    let lengths: [Change<Image>; 9] = [
        ("a short image", |i| i.x -= 1),
        ("a long image", |i| i.x += 1),
        ("a short output", |i| i.out -= 1),
        ("a long output", |i| i.out += 1),
        ("rows behind the output's", |i| i.rows = 2..5),
        ("rows that fall", |i| i.rows = Range { start: 4, end: 1 }),
        ("a stride of 0", |i| i.window.stride[0] = 0),
        ("a dilation of 0", |i| i.window.dilation[1] = 0),
        ("padding without end", |i| i.window.pad[0] = usize::MAX / 2),
    ];
    refuses(image, filter, &lengths);
    refuses(image, max, &lengths);
    refuses(image, average, &lengths);
    let changes: [Change<Image>; 6] = [
        ("short weights", |i| i.weights -= 1),
        ("long weights", |i| i.weights += 1),
        ("a short bias", |i| i.bias -= 1),
        ("a long bias", |i| i.bias += 1),
        ("a short residual", |i| i.residual -= 1),
        ("a residual with gaps", |i| (i.residual, i.residual_stride) = (200, 18)),
    ];
    refuses(image, filter, &changes);
}

#[test]
fn elements() {
    let k = Kernels::best();
    let unary = |x: usize, y: usize| unary::run(k, Unary::Relu, &vec![1.0; x], &mut vec![0.0; y]);
    let widen = |x: usize, y: usize| half::widen(k, &vec![1; x], &mut vec![0.0; y]);
    let narrow = |x: usize, y: usize| half::narrow(k, &vec![1.0; x], &mut vec![0; y]);
    let runs: [&dyn Fn(usize, usize); 3] = [&unary, &widen, &narrow];
    for run in runs {
        run(3, 3);
        assert!(refused(|| run(3, 2)) && refused(|| run(2, 3)));
    }
    let transpose = |x: usize, stride: usize, rows: usize, columns: usize, y: usize| {
        transpose::run(k, &vec![1.0; x], stride, rows, columns, &mut vec![0.0; y]);
    };
    transpose(12, 4, 3, 4, 12);
    transpose(16, 6, 3, 4, 12);
    transpose(0, 4, 0, 4, 0);
    for (x, stride, rows, columns, y) in [
        (11, 4, 3, 4, 11),
        (13, 4, 3, 4, 12),
        (12, 4, 3, 4, 11),
        (12, 4, 3, 4, 13),
        (10, 3, 3, 4, 12),
        (15, 6, 3, 4, 12),
        (4, 1 << 63, 3, 4, 12),
        (0, 1 << 31, 1 << 33, 1 << 31, 0),
    ] {
        let what = format!("{x} of {rows} x {columns}, {stride} apart, to {y}");
        assert!(refused(|| transpose(x, stride, rows, columns, y)), "{what}");
    }
    let interleave = |planes: usize, stride: usize, channels: usize, y: usize| {
        interleave::run(k, &vec![1.0; planes], stride, channels, &mut vec![0.0; y]);
    };
    interleave(11, 4, 3, 9);
    for (planes, stride, channels, y) in
        [(10, 4, 3, 9), (11, 5, 3, 9), (12, 4, 3, 8), (20, 4, 5, 10), (20, 4, 0, 4)]
    {
        assert!(refused(|| interleave(planes, stride, channels, y)), "{planes} {stride} {channels} {y}");
    }
    let taps = interpolate::Taps { starts: &[0, 1, 2], indices: &[0, 1], weights: &[1.0; 2] };
    let interpolate = |x: usize, inner: usize, rows: Range<usize>, y: usize| {
        interpolate::run(k, &vec![1.0; x], inner, &taps, rows, &mut vec![0.0; y]);
    };
    interpolate(6, 3, 0..2, 6);
    for (x, inner, rows, y) in
        [(7, 3, 0..2, 6), (6, 0, 0..2, 0), (6, 3, 0..3, 9), (6, 3, 0..2, 5), (6, 3, 0..2, 7)]
    {
        assert!(refused(|| interpolate(x, inner, rows.clone(), y)), "{x} by {inner}, {rows:?} to {y}");
    }
    assert!(refused(|| interpolate(6, 3, Range { start: 2, end: 1 }, 0)), "rows that fall");
}

#[test]
fn vectors_and_lines() {
    let k = Kernels::best();
    let last = |x: usize, n: usize, y: usize| {
        reduce::last_axis(k, Reduce::Sum, &vec![1.0; x], n, &mut vec![0.0; y]);
    };
    last(12, 4, 3);
    assert!(refused(|| last(11, 4, 3)) && refused(|| last(13, 4, 3)) && refused(|| last(0, 1 << 62, 4)));
    let strided = |x: usize, n: usize, inner: usize, y: usize| {
        reduce::strided(k, Reduce::Sum, &vec![1.0; x], n, inner, &mut vec![0.0; y]);
    };
    strided(24, 4, 3, 6);
    for (x, n, inner, y) in [(23, 4, 3, 6), (25, 4, 3, 6), (28, 4, 3, 7), (0, 4, 0, 0), (0, 1 << 62, 4, 4)] {
        assert!(refused(|| strided(x, n, inner, y)), "{x} of {n}, {inner} to {y}");
    }
    let soft = |x: usize, n: usize, inner: usize, sum: Sum, y: usize| {
        softmax(k, &vec![1.0; x], n, inner, sum, false, &mut vec![0.0; y]);
    };
    soft(12, 4, 1, Sum::Lanes, 12);
    soft(24, 4, 3, Sum::Chain, 24);
    for (x, n, inner, sum, y) in [
        (12, 4, 1, Sum::Lanes, 11),
        (12, 4, 1, Sum::Lanes, 13),
        (11, 4, 1, Sum::Lanes, 11),
        (24, 4, 3, Sum::Lanes, 24),
        (23, 4, 3, Sum::Chain, 23),
        (0, 0, 3, Sum::Chain, 0),
        (0, 4, 0, Sum::Chain, 0),
    ] {
        assert!(refused(|| soft(x, n, inner, sum, y)), "{x} of {n}, {inner}, {sum:?} to {y}");
    }
    let score = |n: usize, rows: usize, mask: Option<(usize, usize)>| {
        let data = vec![1.0; mask.map_or(0, |(len, _)| len)];
        let mask = mask.map(|(_, stride)| scores::Mask { data: &data, stride });
        scores::run(k, &Scores { n, factor: None, mask }, &mut vec![1.0; rows]);
    };
    score(3, 9, Some((11, 4)));
    score(3, 9, Some((3, 0)));
    for (n, rows, mask) in
        [(0, 0, None), (3, 8, None), (3, 9, Some((10, 4))), (3, 9, Some((2, 0))), (3, 9, Some((11, 1 << 63)))]
    {
        assert!(refused(|| score(n, rows, mask)), "{rows} of {n}, {mask:?}");
    }
}

#[test]
fn normalizations() {
    let k = Kernels::best();
    let channels = |x: usize, lengths: [usize; 3], run: usize, y: usize| {
        let [mean, factor, bias] = lengths.map(|len| vec![1.0; len]);
        let by = Channels { mean: &mean, factor: &factor, bias: &bias };
        batch(k, &vec![1.0; x], &by, run, &mut vec![0.0; y]);
    };
    channels(24, [3; 3], 4, 24);
    for (x, lengths, run, y) in [
        (23, [3, 3, 3], 4, 23),
        (24, [3, 3, 3], 4, 23),
        (24, [3, 2, 3], 4, 24),
        (24, [3, 4, 3], 4, 24),
        (24, [3, 3, 2], 4, 24),
        (24, [3, 3, 4], 4, 24),
        (24, [3, 3, 3], 5, 24),
        (0, [3, 3, 3], 0, 0),
        (0, [0, 0, 0], 4, 0),
    ] {
        assert!(refused(|| channels(x, lengths, run, y)), "{x} by {lengths:?}, {run} to {y}");
    }
    let of_vectors = |x: usize, n: usize, run: usize, scale: usize, bias: usize, y: usize| {
        let (scale, bias) = (vec![1.0; scale], vec![1.0; bias]);
        let by = Vectors { n, is_centred: true, epsilon: 1.0, run, scale: &scale, bias: Some(&bias) };
        vectors(k, &vec![1.0; x], 0, &by, &mut vec![0.0; y]);
    };
    of_vectors(24, 6, 2, 3, 3, 24);
    of_vectors(24, 6, 2, 6, 6, 24);
    for (x, n, run, scale, bias, y) in [
        (23, 6, 2, 3, 3, 23),
        (24, 6, 2, 3, 3, 23),
        (24, 6, 4, 3, 3, 24),
        (24, 6, 2, 4, 4, 24),
        (24, 6, 2, 0, 0, 24),
        (24, 6, 2, 3, 2, 24),
        (24, 6, 2, 3, 6, 24),
        (0, 0, 1, 3, 3, 0),
        (24, 6, 0, 3, 3, 24),
    ] {
        assert!(
            refused(|| of_vectors(x, n, run, scale, bias, y)),
            "{x} of {n} by {run}, {scale}, {bias} to {y}"
        );
    }
    let statistic = |x: usize, n: usize, y: usize| {
        statistics(k, Statistic::Mean, &vec![1.0; x], n, 1.0, &mut vec![0.0; y]);
    };
    statistic(12, 4, 3);
    assert!(
        refused(|| statistic(11, 4, 3))
            && refused(|| statistic(13, 4, 3))
            && refused(|| statistic(0, 1 << 62, 4))
    );
    let norm = |x: usize, n: usize, inner: usize, lanes: bool, y: usize| {
        by_norm(k, Norm::L2, &vec![1.0; x], n, inner, lanes, &mut vec![0.0; y]);
    };
    norm(24, 4, 3, false, 24);
    norm(24, 4, 1, true, 24);
    for (x, n, inner, lanes, y) in [
        (24, 4, 3, true, 24),
        (23, 4, 3, false, 23),
        (24, 4, 3, false, 23),
        (24, 4, 3, false, 25),
        (0, 0, 3, false, 0),
        (0, 4, 0, false, 0),
    ] {
        assert!(refused(|| norm(x, n, inner, lanes, y)), "{x} of {n}, {inner}, {lanes} to {y}");
    }
}
