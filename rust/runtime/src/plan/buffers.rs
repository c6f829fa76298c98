//! The buffers of a plan, and the tensors that lie in them.

use crate::plan::layout::Layout;
use crate::program::DType;

/// Bytes behind every buffer that kernels may read: they take whole groups of four.
pub const SLACK: usize = 64;

/// A buffer of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BufferId(pub usize);

/// Where a buffer's bytes live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// In the plan's arena.
    Arena,
    /// The caller's input.
    Input(u16),
    /// The caller's output.
    Output(u16),
    /// A constant of the plan.
    Constant(u16),
}

/// A buffer before it has its place.
#[derive(Clone, Copy, Debug)]
pub struct Buffer {
    /// Its bytes, without slack.
    pub bytes: usize,
    /// Where it lives.
    pub home: Home,
    /// Kernels read past its end, so it cannot be the caller's.
    pub needs_slack: bool,
}

impl Buffer {
    /// A buffer whose slack nobody needs yet.
    pub fn new(bytes: usize, home: Home) -> Buffer {
        Buffer { bytes, home, needs_slack: false }
    }
}

/// A tensor's type and shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorType {
    /// The element type.
    pub dtype: DType,
    /// The shape, in ONNX's logical layout.
    pub shape: Vec<usize>,
}

impl TensorType {
    /// The number of elements; the greatest number where they are more.
    pub fn elements(&self) -> usize {
        self.shape.iter().fold(1, |all, &n| all.saturating_mul(n))
    }

    /// The number of bytes; the greatest number where they are more.
    pub fn bytes(&self) -> usize {
        self.elements().saturating_mul(self.dtype.size())
    }
}

/// A tensor of the plan: its type, and where and how it lies.
#[derive(Clone, Debug)]
pub struct Placed {
    /// Type and logical shape.
    pub tensor: TensorType,
    /// The order of its dimensions in memory.
    pub layout: Layout,
    /// Its bytes.
    pub buffer: BufferId,
}

impl Placed {
    /// The logical shape.
    pub fn shape(&self) -> &[usize] {
        &self.tensor.shape
    }

    /// The shape as it lies in memory.
    pub fn physical(&self) -> Vec<usize> {
        self.layout.physical(&self.tensor.shape)
    }

    /// The number of elements.
    pub fn elements(&self) -> usize {
        self.tensor.elements()
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.tensor.dtype
    }
}

/// The output of a Transpose that no step has moved: where its bytes lie, in a buffer with slack.
#[derive(Clone, Debug)]
pub struct Strided {
    /// The node.
    pub node: usize,
    /// The bytes.
    pub buffer: BufferId,
    /// The logical shape.
    pub shape: Vec<usize>,
    /// Bytes from one element to the next along each dimension.
    pub steps: Vec<usize>,
}
