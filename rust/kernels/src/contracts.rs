//! What the safe entries ask of their arguments: the shortest slices that fit are taken, and each that is too short, too
//! long or out of its range is refused, for the code behind them relies on it.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::depthwise::{self, Depthwise, Floats};
use crate::gemm::{self, Columns, OffsetTable, Out, Requantize, Right, Rows};
use crate::geometry::Window;
use crate::pool::{self, Average};
use crate::table::Kernels;

/// What is made of arguments that fit, and its name.
pub type Change<A> = (&'static str, fn(&mut A));

/// Whether a call panics.
pub fn refused(run: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(run)).is_err()
}

/// Runs what is fine, then each change of it, of which every one has to be refused.
pub fn refuses<A>(fine: impl Fn() -> A, run: impl Fn(&A), changes: &[Change<A>]) {
    run(&fine());
    for (name, change) in changes {
        let mut arguments = fine();
        change(&mut arguments);
        assert!(refused(|| run(&arguments)), "{name} is taken");
    }
}

/// The lengths of a product of `m` rows of 6 with 20 columns that makes float32.
struct Product {
    m: usize,
    data: usize,
    data_stride: usize,
    packed: usize,
    kc: usize,
    n: usize,
    taps: usize,
    out: usize,
    stride: usize,
    acc_bias: usize,
    scale: usize,
    bias: usize,
    row_bias: usize,
}

#[test]
fn products_to_floats() {
    let k = Kernels::best();
    let packed = gemm::packed_len(k, 20, 1, 6);
    let fine = || Product {
        m: 3,
        data: 20,
        data_stride: 6,
        packed,
        kc: 6,
        n: 20,
        taps: 1,
        out: 60,
        stride: 20,
        acc_bias: 20,
        scale: 20,
        bias: 20,
        row_bias: 3,
    };
    let run = |p: &Product| {
        let (data, packed, row_bias) = (vec![1; p.data], vec![0; p.packed], vec![0; p.row_bias]);
        let (acc_bias, scale, bias) = (vec![0; p.acc_bias], vec![1.0; p.scale], vec![0.0; p.bias]);
        let rows = Rows::Dense { data: &data, stride: p.data_stride };
        let columns = Columns { packed: &packed, n: p.n, taps: p.taps, kc: p.kc };
        let mut out = vec![0.0; p.out];
        let out = Out::F32 {
            data: &mut out,
            stride: p.stride,
            acc_bias: &acc_bias,
            x_scale: 1.0,
            scale: &scale,
            bias: &bias,
        };
        gemm::run_with_row_bias(k, p.m, &rows, &row_bias, &columns, out);
    };
    let changes: [Change<Product>; 16] = [
        ("a short left side", |p| p.data -= 1),
        ("rows that leave the left side", |p| p.data_stride = 7),
        ("a left stride that wraps", |p| p.data_stride = 1 << 63),
        ("short packed weights", |p| p.packed -= 1),
        ("long packed weights", |p| p.packed += 1),
        ("weights of no k", |p| (p.kc, p.packed) = (0, 0)),
        ("weights of no columns", |p| (p.n, p.packed) = (0, 0)),
        ("weights of no taps", |p| (p.taps, p.packed) = (0, 0)),
        ("a short output", |p| p.out -= 1),
        ("rows of the output that overlap", |p| p.stride = 19),
        ("an output stride that wraps", |p| p.stride = 1 << 63),
        ("a short bias of the sums", |p| p.acc_bias -= 1),
        ("a short scale", |p| p.scale -= 1),
        ("a short bias", |p| p.bias -= 1),
        ("a number for some rows alone", |p| p.row_bias = 2),
        ("a row more than there is", |p| p.m += 1),
    ];
    refuses(fine, run, &changes);
    // One row has no next one that it could overlap; a number for each row, or for none.
    run(&Product { m: 1, data: 8, out: 20, stride: 0, row_bias: 0, ..fine() });
    run(&Product { row_bias: 5, ..fine() });
}

/// Strides whose product with the rows wraps into the slice again.
#[test]
fn strides_that_wrap() {
    let k = Kernels::best();
    let packed = vec![0; gemm::packed_len(k, 4, 1, 4)];
    let run = |stride: usize, residual_stride: usize| {
        let add = gemm::AddParams {
            a_zero_point: 0,
            b_zero_point: 0,
            y_zero_point: 0,
            a_multiplier: 1,
            b_multiplier: 1,
            shift: 1,
            lo: 0,
            hi: 255,
        };
        let requantize = Requantize {
            bias: &[0; 4],
            reach: 1020,
            multiplier: &[1 << 30; 4],
            shift: &[31; 4],
            zero_point: 0,
            lo: 0,
            hi: 255,
        };
        let addition = gemm::Addition::ToBytes(add);
        let residual = Some(gemm::Residual { data: &[1; 12], stride: residual_stride, addition });
        let mut data = [0; 12];
        let out = Out::U8 { data: &mut data, stride, requantize, residual };
        let columns = Columns { packed: &packed, n: 4, taps: 1, kc: 4 };
        gemm::run(k, 3, &Rows::Dense { data: &[1; 12], stride: 4 }, &columns, out);
    };
    run(4, 4);
    run(4, 0);
    for (stride, residual_stride) in [(1 << 63, 4), (4, 1 << 63), (5, 4), (4, 5), (3, 4), (4, usize::MAX)] {
        assert!(refused(|| run(stride, residual_stride)), "{stride} and {residual_stride}");
    }
}

#[test]
fn products_of_bytes_to_int16() {
    let k = Kernels::best();
    let packed = vec![0; gemm::packed_len(k, 4, 1, 4)];
    let run = |len: usize, stride: usize, columns: usize, zero_point: i32, [lo, hi]: [i32; 2]| {
        let (bias, multiplier, shift) = (vec![0; columns], vec![(1 << 30) + 128; columns], vec![31; columns]);
        let requantize =
            Requantize { bias: &bias, reach: 0, multiplier: &multiplier, shift: &shift, zero_point, lo, hi };
        let mut data = vec![0; len];
        let out = Out::I16 { data: &mut data, stride, requantize };
        let columns = Columns { packed: &packed, n: 4, taps: 1, kc: 4 };
        refused(|| gemm::run(k, 3, &Rows::Dense { data: &[1; 12], stride: 4 }, &columns, out))
    };
    assert!(!run(12, 4, 4, 0, [-32_767, 32_767]) && run(11, 4, 4, 0, [0, 1]) && run(12, 3, 4, 0, [0, 1]));
    assert!(run(12, 5, 4, 0, [0, 1]) && run(12, 4, 3, 0, [0, 1]) && run(12, 4, 4, 1, [0, 1]));
    assert!(run(12, 4, 4, 0, [-32_768, 1]) && run(12, 4, 4, 0, [0, 32_768]) && run(12, 4, 4, 0, [2, 1]));
}

#[test]
fn packing_and_offsets() {
    let k = Kernels::best();
    let pack = |weights: usize, more: isize| {
        let len = gemm::packed_len(k, 17, 2, 5);
        gemm::pack(k, &vec![1; weights], 17, 2, 5, &mut vec![0; len.wrapping_add_signed(more)]);
    };
    pack(170, 0);
    for (weights, more) in [(169, 0), (171, 0), (170, -1), (170, 1)] {
        assert!(refused(|| pack(weights, more)), "{weights} weights, {more}");
    }
    assert_eq!(OffsetTable::new(vec![1, 2, 3, 4], 2).len(), 2);
    assert!(refused(|| _ = OffsetTable::new(vec![1; 3], 2)) && refused(|| _ = OffsetTable::new(vec![], 0)));
    let packed = vec![0; gemm::packed_len(k, 40, 1, 4)];
    let columns = Columns { packed: &packed, n: 40, taps: 1, kc: 4 };
    let slice = |start: usize, end: usize| columns.slice(Range { start, end }).n;
    assert_eq!([slice(0, 1), slice(0, 3), slice(2, 3), slice(1, 3)], [16, 40, 8, 24]);
    for (start, end) in [(0, 4), (1, 1), (2, 1), (3, 4)] {
        assert!(refused(|| _ = columns.slice(Range { start, end })), "{start}..{end}");
    }
    let activations = |rows: usize, n: usize, more: isize, sums: usize| {
        let right = Right { data: &[1; 30], k: rows, n, by_k: 5, by_column: 1 };
        let len = gemm::packed_len(k, n, 1, rows).wrapping_add_signed(more);
        gemm::pack_activations(k, &right, &mut vec![0; len], &mut vec![0; sums]);
    };
    activations(6, 5, 0, 5);
    for (rows, n, more, sums) in [
        (7, 5, 0, 5),
        (6, 6, 0, 6),
        (6, 5, 1, 5),
        (6, 5, -1, 5),
        (6, 5, 0, 4),
        (6, 5, 0, 6),
        (0, 5, 0, 5),
        (6, 0, 0, 0),
    ] {
        assert!(refused(|| activations(rows, n, more, sums)), "{rows} x {n}, {more}, {sums} sums");
    }
}

/// The arguments of a depthwise convolution, 3 x 3 on 5 x 5 pixels of 17 channels.
struct Filter {
    window: Window,
    rows: Range<usize>,
    x: usize,
    /// What the packed weights' length differs by.
    packed: isize,
    out: usize,
    lengths: [usize; 3],
    zero_point: i32,
    clamp: (i32, i32),
    shift: i32,
}

fn filter() -> Filter {
    let window = Window {
        input: [5, 5],
        channels: 17,
        output: [5, 5],
        kernel: [3, 3],
        stride: [1, 1],
        dilation: [1, 1],
        pad: [1, 1],
    };
    let (x, out) = (25 * 17, 3 * 5 * 17);
    Filter {
        window,
        rows: 1..4,
        x,
        packed: 0,
        out,
        lengths: [17; 3],
        zero_point: 255,
        clamp: (255, 255),
        shift: 62,
    }
}

/// What the two results of a depthwise convolution refuse alike.
const FILTERS: [Change<Filter>; 14] = [
    ("a short image", |f| f.x -= 1),
    ("a long image", |f| f.x += 1),
    ("a short output", |f| f.out -= 1),
    ("a long output", |f| f.out += 1),
    ("short packed weights", |f| f.packed = -1),
    ("long packed weights", |f| f.packed = 1),
    ("rows behind the output's", |f| f.rows = 3..6),
    ("rows that fall", |f| f.rows = Range { start: 4, end: 1 }),
    ("a short first parameter", |f| f.lengths[0] -= 1),
    ("a long second parameter", |f| f.lengths[1] += 1),
    ("a short second parameter", |f| f.lengths[1] -= 1),
    ("a short third parameter", |f| f.lengths[2] -= 1),
    ("a stride of 0", |f| f.window.stride[1] = 0),
    ("a dilation of 0", |f| f.window.dilation[0] = 0),
];

#[test]
fn depthwise_convolutions() {
    let k = Kernels::best();
    let run = |f: &Filter| {
        let packing = k.row().depthwise.to_bytes.select(&filter().window).packing;
        let packed = vec![0; packing.packed_len(17, [3, 3]).wrapping_add_signed(f.packed)];
        let requantize = Requantize {
            bias: &vec![0; f.lengths[0]],
            reach: 0,
            multiplier: &vec![1 << 30; f.lengths[1]],
            shift: &vec![f.shift; f.lengths[2]],
            zero_point: f.zero_point,
            lo: f.clamp.0,
            hi: f.clamp.1,
        };
        let d = Depthwise { window: f.window, packed: &packed, epilogue: requantize, x_zero_point: 3 };
        depthwise::run(k, &vec![1; f.x], &d, f.rows.clone(), &mut vec![0; f.out]);
    };
    refuses(filter, run, &FILTERS);
    let changes: [Change<Filter>; 7] = [
        ("a zero point below 0", |f| f.zero_point = -1),
        ("a zero point above 255", |f| f.zero_point = 256),
        ("a lower bound below 0", |f| f.clamp.0 = -1),
        ("an upper bound above 255", |f| f.clamp.1 = 256),
        ("bounds that cross", |f| f.clamp = (9, 8)),
        ("a shift of 0", |f| f.shift = 0),
        ("a shift of 63", |f| f.shift = 63),
    ];
    refuses(filter, run, &changes);
    run(&Filter { zero_point: 0, clamp: (0, 0), shift: 1, ..filter() });
}

#[test]
fn depthwise_convolutions_to_floats() {
    let k = Kernels::best();
    let run = |f: &Filter| {
        let packing = k.row().depthwise.to_floats.select(&filter().window).packing;
        let packed = vec![0; packing.packed_len(17, [3, 3]).wrapping_add_signed(f.packed)];
        let floats = Floats {
            acc_bias: &vec![0; f.lengths[0]],
            x_scale: 1.0,
            scale: &vec![1.0; f.lengths[1]],
            bias: &vec![0.0; f.lengths[2]],
            lo: 0.0,
            hi: 6.0,
        };
        let d = Depthwise { window: f.window, packed: &packed, epilogue: floats, x_zero_point: 3 };
        depthwise::run_to_floats(k, &vec![1; f.x], &d, f.rows.clone(), &mut vec![0.0; f.out]);
    };
    refuses(filter, run, &FILTERS);
    let packing = k.row().depthwise.to_bytes.select(&filter().window).packing;
    let pack = |weights: usize, more: isize| {
        let len = packing.packed_len(17, [3, 3]).wrapping_add_signed(more);
        packing.pack(&vec![1; weights], 17, [3, 3], &mut vec![0; len]);
    };
    pack(153, 0);
    for (weights, more) in [(152, 0), (154, 0), (153, 1), (153, -1)] {
        assert!(refused(|| pack(weights, more)), "{weights} weights, {more}");
    }
}

/// The arguments of a pool of 2 x 2 on 5 x 4 pixels of 3 channels.
struct Pooled {
    window: Window,
    rows: Range<usize>,
    x: usize,
    out: usize,
    zero_points: [i32; 2],
    clamp: (i32, i32),
    shift: u32,
    factors: usize,
}

fn pooled() -> Pooled {
    let window = Window {
        input: [5, 4],
        channels: 3,
        output: [4, 3],
        kernel: [2, 2],
        stride: [1, 1],
        dilation: [1, 1],
        pad: [0, 0],
    };
    let (x, out) = (60, 27);
    Pooled { window, rows: 0..3, x, out, zero_points: [255, 255], clamp: (255, 255), shift: 62, factors: 5 }
}

#[test]
fn pools_of_bytes() {
    let k = Kernels::best();
    let max =
        |p: &Pooled| pool::max_pool_u8(k, &vec![1; p.x], &p.window, p.rows.clone(), &mut vec![0; p.out]);
    let average = |p: &Pooled| {
        let average = Average {
            x_zero_point: p.zero_points[0],
            y_zero_point: p.zero_points[1],
            lo: p.clamp.0,
            hi: p.clamp.1,
            // The first one is never read.
            factors: &[vec![(1, 0)], vec![(1 << 30, p.shift); p.factors - 1]].concat(),
            count_include_pad: None,
        };
        pool::average_pool(k, &vec![1; p.x], &p.window, p.rows.clone(), &average, &mut vec![0; p.out]);
    };
    let lengths: [Change<Pooled>; 9] = [
        ("a short image", |p| p.x -= 1),
        ("a long image", |p| p.x += 1),
        ("a short output", |p| p.out -= 1),
        ("a long output", |p| p.out += 1),
        ("rows behind the output's", |p| p.rows = 2..5),
        ("a kernel of no rows", |p| p.window.kernel[0] = 0),
        ("a stride of 0", |p| p.window.stride[0] = 0),
        ("a dilation of 0", |p| p.window.dilation[1] = 0),
        ("padding without end", |p| p.window.pad[1] = usize::MAX / 2),
    ];
    refuses(pooled, max, &lengths);
    refuses(pooled, average, &lengths);
    let parameters: [Change<Pooled>; 11] = [
        ("an input's zero point below 0", |p| p.zero_points[0] = -1),
        ("an input's zero point above 255", |p| p.zero_points[0] = 256),
        ("an output's zero point below 0", |p| p.zero_points[1] = -1),
        ("an output's zero point above 255", |p| p.zero_points[1] = 256),
        ("a lower bound below 0", |p| p.clamp.0 = -1),
        ("an upper bound above 255", |p| p.clamp.1 = 256),
        ("bounds that cross", |p| p.clamp = (9, 8)),
        ("a shift of 0", |p| p.shift = 0),
        ("a shift of 63", |p| p.shift = 63),
        ("a count without a factor", |p| p.factors = 4),
        ("taps whose sum leaves int32", |p| {
            (p.window.kernel, p.window.pad) = ([8_421_505, 1], [8_421_504, 0])
        }),
    ];
    refuses(pooled, average, &parameters);
    average(&Pooled { zero_points: [0, 0], clamp: (0, 0), shift: 1, ..pooled() });
    let mut widest = pooled();
    (widest.window.kernel, widest.window.pad, widest.factors) = ([8_421_504, 1], [8_421_503, 0], 6);
    average(&widest);
}
