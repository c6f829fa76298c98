//! The geometry of a MatMul, whatever its elements are: operands as matrices where they lie, leading dimensions that
//! broadcast, an output that a Transpose behind has turned. A plan makes lists of it, in which a run looks up.

use crate::ops::behind::{TransposeBehind, transpose_behind};
use crate::ops::node::{broadcast, error, left_padded, needed};
use crate::plan::buffers::BufferId;
use crate::plan::builder::{Builder, Stop};
use crate::plan::layout::Layout;
use crate::plan::relocation::strides;
use crate::program::{Node, ValueId};

/// Most products of matrices in one step: a plan has some words for each.
const MOST_PRODUCTS: usize = 1 << 24;

/// The place of each index of a shape, in index order, for these strides.
fn offsets(shape: &[usize], strides: &[usize]) -> Vec<usize> {
    let step = |all: Vec<usize>, (&n, &stride): (&usize, &usize)| {
        all.iter().flat_map(|&at| (0..n).map(move |i| at + i * stride)).collect()
    };
    shape.iter().zip(strides).fold(vec![0], step)
}

/// The strides of dimensions that broadcast to `rank` ones: 0 along those that are repeated.
fn broadcast_strides(own: &[usize], strides: &[usize], rank: usize) -> Vec<usize> {
    let moving = own.iter().zip(strides).map(|(&n, &stride)| if n == 1 { 0 } else { stride });
    std::iter::repeat_n(0, rank - own.len()).chain(moving).collect()
}

/// The strides of a shape that lies row-major, in elements.
fn row_major(shape: &[usize]) -> Vec<usize> {
    strides(shape, &(0..shape.len()).collect::<Vec<_>>(), 1)
}

/// An operand as matrices, `[.., rows, columns]`, as it lies in a buffer.
pub struct View {
    /// Its elements.
    pub buffer: BufferId,
    shape: Vec<usize>,
    /// For each dimension, the elements from one index to the next.
    strides: Vec<usize>,
    /// It is a vector that has been given the axis that it lacks.
    is_vector: bool,
}

impl View {
    /// A node's operand, where it lies; a vector at place 0 is one row, at place 1 one column.
    pub fn of(b: &mut Builder<'_>, node: &Node, place: usize) -> Result<View, Stop> {
        View::read(b, node, place, false)
    }

    /// [`View::of`], in a buffer whose slack kernels may read: a copy where need be.
    pub fn with_slack(b: &mut Builder<'_>, node: &Node, place: usize) -> Result<View, Stop> {
        View::read(b, node, place, true)
    }

    fn read(b: &mut Builder<'_>, node: &Node, place: usize, needs_slack: bool) -> Result<View, Stop> {
        let value = needed(node, place)?;
        let mut view = if let Some(strided) = b.strided(value) {
            let element = b.program.value(value).dtype.size();
            let strides = strided.steps.iter().map(|step| step / element).collect();
            View { buffer: strided.buffer, shape: strided.shape.clone(), strides, is_vector: false }
        } else {
            let x = b.input_as(value, Layout::RowMajor)?;
            let buffer = if needs_slack { b.with_slack(&x) } else { x.buffer };
            View { buffer, shape: x.shape().to_vec(), strides: row_major(x.shape()), is_vector: false }
        };
        if view.shape.is_empty() {
            return Err(error(node, "an operand without dimensions"));
        }
        if view.shape.len() == 1 {
            view.is_vector = true;
            view.shape.insert(place, 1);
            view.strides.insert(place, 0);
        }
        Ok(view)
    }

    /// Of rows that have two digits of each element, one digit after the other: rows of elements, as many of them.
    pub fn of_digits(mut self, node: &Node) -> Result<View, Stop> {
        let columns = self.shape.len() - 1;
        if self.shape[columns] % 2 == 1 {
            let what = format!("its rows of {} bytes are not of two digits each", self.shape[columns]);
            return Err(error(node, &what));
        }
        self.shape[columns] /= 2;
        Ok(self)
    }

    /// The dimensions before the matrices.
    fn leading(&self) -> &[usize] {
        &self.shape[..self.shape.len() - 2]
    }

    /// Rows and columns of a matrix.
    fn matrix(&self) -> [usize; 2] {
        let leading = self.leading().len();
        [self.shape[leading], self.shape[leading + 1]]
    }

    /// Elements from one row of a matrix to the next, and from one column to the next.
    pub fn steps(&self) -> [usize; 2] {
        let leading = self.leading().len();
        [self.strides[leading], self.strides[leading + 1]]
    }

    /// The tensor's own matrices: where it is broadcast, fewer than there are products.
    pub fn count(&self) -> usize {
        self.leading().iter().product()
    }

    /// Where each of the tensor's own matrices begins.
    pub fn matrices(&self) -> Vec<usize> {
        offsets(self.leading(), &self.strides)
    }
}

/// Two operands whose matrices are multiplied, with numpy's broadcasting of the leading dimensions.
pub struct Batches {
    /// Matrices `[m, k]`.
    pub left: View,
    /// Matrices `[k, n]`.
    pub right: View,
    /// Rows of a product.
    pub m: usize,
    /// Columns of a product.
    pub n: usize,
    /// Products of elements in a sum.
    pub k: usize,
    /// The leading dimensions of the output.
    leading: Vec<usize>,
    /// The output's dimensions before N, in the order in which they lie; M is behind the leading ones.
    order: Vec<usize>,
}

impl Batches {
    /// Of operands that multiply.
    pub fn of(node: &Node, mut left: View, mut right: View) -> Result<Batches, Stop> {
        let ([m, k], [inner, n]) = (left.matrix(), right.matrix());
        if inner != k {
            let what = format!("shapes {:?} and {:?} do not multiply", left.shape, right.shape);
            return Err(error(node, &what));
        }
        let rank = left.leading().len().max(right.leading().len());
        let padded = |view: &View| left_padded(view.leading(), rank);
        let leading = broadcast(node, &padded(&left), &padded(&right))?;
        let count = leading.iter().try_fold(1usize, |all, &n| all.checked_mul(n));
        if count.is_none_or(|count| count > MOST_PRODUCTS) {
            return Err(error(node, &format!("more than {MOST_PRODUCTS} products at once: {leading:?}")));
        }
        if k == 0 {
            // There is nothing to read, wherever it would lie.
            left.strides.fill(0);
            right.strides.fill(0);
        }
        Ok(Batches { left, right, m, n, k, leading, order: (0..=rank).collect() })
    }

    /// Takes in the Transpose behind the node, where it leaves the columns last: the output is what that makes. The name
    /// of both and the value.
    pub fn absorb_transpose(
        &mut self,
        b: &mut Builder<'_>,
        node: &Node,
    ) -> Result<Option<(String, ValueId)>, Stop> {
        let rank = self.leading.len();
        if self.left.is_vector || self.right.is_vector {
            return Ok(None);
        }
        let Some(behind) = transpose_behind(b, node, rank + 2)? else { return Ok(None) };
        let TransposeBehind { index, perm, value } = behind;
        b.absorb(index);
        self.order = perm[..=rank].to_vec();
        Ok(Some((format!("{} + {}", node.name, b.program.nodes[index].name), value)))
    }

    /// The output's shape; a vector has no dimension in it.
    pub fn shape(&self) -> Vec<usize> {
        let rank = self.leading.len();
        let length = |&d: &usize| if d < rank { self.leading[d] } else { self.m };
        let before = self.order.iter().filter(|&&d| d < rank || !self.left.is_vector).map(length);
        before.chain((!self.right.is_vector).then_some(self.n)).collect()
    }

    /// Whether the output is of matrices in one piece each, in index order.
    pub fn is_whole(&self) -> bool {
        !self.left.is_vector && !self.right.is_vector && self.order.is_sorted()
    }

    /// The products, as the output's rows lie.
    pub fn products(&self) -> Products {
        let rank = self.leading.len();
        let behind = self.order.iter().rev().take_while(|&&d| d != rank);
        Products {
            m: self.m,
            n: self.n,
            k: self.k,
            lefts: self.along(&self.left, &self.left.strides),
            stride: self.left.steps()[0],
            rights: self.along(&self.right, &row_major(self.right.leading())),
            interleaved: behind.map(|&d| self.leading[d]).product(),
        }
    }

    /// Which of the left tensor's own matrices is the left side of each product.
    pub fn left_numbers(&self) -> Vec<usize> {
        self.along(&self.left, &row_major(self.left.leading()))
    }

    /// For each product, the place of its matrix of a side that moves by these strides.
    fn along(&self, side: &View, strides: &[usize]) -> Vec<usize> {
        let rank = self.leading.len();
        let strides = broadcast_strides(side.leading(), strides, rank);
        let order = || self.order.iter().filter(|&&d| d != rank);
        let dims: Vec<usize> = order().map(|&d| self.leading[d]).collect();
        offsets(&dims, &order().map(|&d| strides[d]).collect::<Vec<_>>())
    }
}

/// Products of matrices `[m, k]` and `[k, n]` into an output `[outer, m, interleaved, n]`: the products of each row's
/// matrices lie side by side.
pub struct Products {
    /// Rows of a product.
    pub m: usize,
    /// Columns of a product.
    pub n: usize,
    /// Products of elements in a sum.
    pub k: usize,
    /// Where the left side of each of the `outer * interleaved` products begins, in elements.
    pub lefts: Vec<usize>,
    /// Elements from one row of a left side to the next.
    pub stride: usize,
    /// Which of the right tensor's own matrices is the right side of each.
    pub rights: Vec<usize>,
    /// Products side by side.
    pub interleaved: usize,
}

/// Rows of the output whose products are the same ones.
pub struct Piece {
    /// Which of the outer indices they are of.
    pub outer: usize,
    /// The first.
    pub start: usize,
    /// How many.
    pub count: usize,
}

impl Products {
    /// Elements of a row of the output.
    pub fn width(&self) -> usize {
        self.interleaved * self.n
    }

    /// Rows of the output.
    pub fn rows(&self) -> usize {
        self.lefts.len() / self.interleaved * self.m
    }

    /// Multiply-accumulates of all.
    pub fn macs(&self) -> u64 {
        let factors = [self.lefts.len(), self.m, self.n, self.k];
        factors.into_iter().fold(1, |all, factor| all.saturating_mul(factor as u64))
    }

    /// The rows from row `row` of the output on that are one piece, `most` at most.
    pub fn piece(&self, row: usize, most: usize) -> Piece {
        let (outer, start) = (row / self.m, row % self.m);
        Piece { outer, start, count: most.min(self.m - start) }
    }

    /// The number of the product of a piece at a place among those side by side, and where the left side of its first row
    /// begins.
    pub fn of_piece(&self, piece: &Piece, place: usize) -> (usize, usize) {
        let number = piece.outer * self.interleaved + place;
        (number, self.lefts[number] + piece.start * self.stride)
    }

    /// Where all products have one right side and their rows go on evenly, they become one.
    pub fn join_rows(&mut self) {
        let is_even = self.lefts.iter().enumerate().all(|(i, &at)| at == i * self.m * self.stride);
        if is_even && self.interleaved == 1 && self.rights.iter().all(|&right| right == 0) {
            self.m *= self.lefts.len();
            (self.lefts, self.rights) = (vec![0], vec![0]);
        }
    }
}

/// A tensor that broadcasts to products in one piece each and is added to them: a mask of scores.
pub struct Addend {
    /// Its elements.
    pub buffer: BufferId,
    /// Where the first row for each product begins.
    offsets: Vec<usize>,
    /// Elements from one row to the next.
    pub stride: usize,
    /// Elements of a row: 1, or as many as a product has columns.
    pub row: usize,
}

impl Addend {
    /// A value that broadcasts to products of that shape.
    pub fn of(b: &mut Builder<'_>, value: ValueId, shape: &[usize]) -> Result<Addend, Stop> {
        let x = b.input_as(value, Layout::RowMajor)?;
        let strides = broadcast_strides(x.shape(), &row_major(x.shape()), shape.len());
        let leading = shape.len() - 2;
        let offsets = offsets(&shape[..leading], &strides);
        let row = x.shape().last().copied().unwrap_or(1);
        Ok(Addend { buffer: x.buffer, offsets, stride: strides[leading], row })
    }

    /// Where the row for a row of a product begins.
    pub fn at(&self, product: usize, row: usize) -> usize {
        self.offsets[product] + row * self.stride
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Left matrices `[2, 1, m, k]` and right ones `[3, k, n]`, row-major, into `[2, 3, m, n]` in some order.
    fn batches(order: [usize; 3]) -> Batches {
        let view = |shape: &[usize]| {
            let (buffer, strides) = (BufferId(0), row_major(shape));
            View { buffer, shape: shape.to_vec(), strides, is_vector: false }
        };
        let (m, n, k) = (4, 5, 7);
        let (left, right) = (view(&[2, 1, m, k]), view(&[3, k, n]));
        Batches { left, right, m, n, k, leading: vec![2, 3], order: order.to_vec() }
    }

    #[test]
    fn products_follow_the_order_of_the_output() {
        for order in [[0, 1, 2], [1, 0, 2], [0, 2, 1], [2, 0, 1], [2, 1, 0], [1, 2, 0]] {
            let batches = batches(order);
            let products = batches.products();
            let lengths = [2, 3, 4];
            assert_eq!(batches.shape(), order.map(|d| lengths[d]).into_iter().chain([5]).collect::<Vec<_>>());
            assert_eq!((products.rows() * products.width(), products.macs()), (120, 840));
            // Every row of N in memory order, by its index along the dimensions as they lie.
            let [_, second, third] = order.map(|d| lengths[d]);
            for place in 0..24 {
                let along = [place / (second * third), place / third % second, place % third];
                let index = |d: usize| along[order.iter().position(|&o| o == d).unwrap()];
                let (row, side) = (place / products.interleaved, place % products.interleaved);
                let piece = products.piece(row, 1);
                let (number, left) = products.of_piece(&piece, side);
                assert_eq!((piece.start, piece.count), (index(2), 1), "{order:?}, {place}");
                assert_eq!(left, (index(0) * 4 + index(2)) * 7, "{order:?}, {place}");
                assert_eq!(products.rights[number], index(1), "{order:?}, {place}");
                assert_eq!(batches.left_numbers()[number], index(0), "{order:?}, {place}");
            }
        }
    }

    #[test]
    fn rows_are_joined_where_one_matrix_multiplies_them_all() {
        let mut products = batches([0, 1, 2]).products();
        products.join_rows();
        assert_eq!((products.m, products.lefts.len()), (4, 6));
        (products.lefts, products.rights) = (vec![0, 28], vec![0, 0]);
        products.join_rows();
        assert_eq!((products.m, &products.lefts[..], &products.rights[..]), (8, &[0][..], &[0][..]));
    }

    #[test]
    fn a_piece_ends_with_its_matrix() {
        let Piece { outer, start, count } = batches([0, 1, 2]).products().piece(4 + 3, 9);
        assert_eq!([outer, start, count], [1, 3, 1]);
    }
}
