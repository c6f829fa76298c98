//! Tiles of an image.

/// Outputs of a tile in each direction.
pub const TILE: usize = 4;
/// Pixels that a tile reads in each direction.
pub const PATCH: usize = 6;
/// Tiles that go through together.
pub const TOGETHER: usize = 12;
/// An image in NHWC with its padding, and where its outputs begin.
#[derive(Clone, Copy, Debug)]
pub struct Image<'a> {
    /// The pixels.
    pub data: &'a [u8],
    /// Height and width.
    pub size: [usize; 2],
    /// Channels of a pixel.
    pub channels: usize,
    /// Rows above and columns before the first pixel.
    pub pad: [usize; 2],
    /// A pixel of padding: zero points.
    pub fill: &'a [u8],
    /// Height and width of the output.
    pub output: [usize; 2],
}

impl Image<'_> {
    /// Tiles in a row.
    pub(super) fn across(&self) -> usize {
        self.output[1].div_ceil(TILE)
    }

    /// The pixels that a tile reads, or padding.
    #[cfg_attr(
        not(any(target_arch = "x86_64", target_arch = "aarch64")),
        expect(dead_code, reason = "no tier of this architecture asks")
    )]
    pub(super) fn patch(&self, tile: usize) -> [[&[u8]; PATCH]; PATCH] {
        let (row, column) = (tile / self.across() * TILE, tile % self.across() * TILE);
        std::array::from_fn(|i| {
            std::array::from_fn(|j| {
                let (y, x) = ((row + i).wrapping_sub(self.pad[0]), (column + j).wrapping_sub(self.pad[1]));
                if y < self.size[0] && x < self.size[1] {
                    &self.data[(y * self.size[1] + x) * self.channels..][..self.channels]
                } else {
                    self.fill
                }
            })
        })
    }
}

/// Transformed pixels of [`TOGETHER`] tiles and the products of some of their columns, as the code of a tier takes them.
#[cfg_attr(
    not(any(target_arch = "x86_64", target_arch = "aarch64")),
    expect(dead_code, reason = "no tier of this architecture asks")
)]
pub struct Tiles<'a> {
    pub image: &'a Image<'a>,
    /// The first tile, and how many there are.
    pub first: usize,
    pub count: usize,
    /// `[36][count][channels]` words, channels rounded up.
    pub pixels: *mut i16,
    pub channels: usize,
    /// `[36][count][16]` sums.
    pub products: *mut i32,
    /// The panel's transformed weights: `[units][36][groups][2][16][2]` words.
    pub weights: *const u8,
    pub groups: usize,
}
