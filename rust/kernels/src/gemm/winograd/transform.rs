//! The transform of weights.

use super::tiles::PATCH;

/// Points of a tile.
pub const POINTS: usize = PATCH * PATCH;

/// G of three numbers, its rows scaled to whole numbers: by 24, 12, 12, 24, 24, 3.
#[inline(always)]
fn of_three<const L: usize>(g: [&[i16; L]; 3]) -> [[i16; L]; PATCH] {
    let mut u = [[0; L]; PATCH];
    for c in 0..L {
        let (a, b, d) = (g[0][c], g[1][c], g[2][c]);
        let (ends, wide) = (a + d, a + 4 * d);
        u[0][c] = 6 * a;
        u[1][c] = -2 * (ends + b);
        u[2][c] = -2 * (ends - b);
        u[3][c] = wide + 2 * b;
        u[4][c] = wide - 2 * b;
        u[5][c] = 3 * d;
    }
    u
}

/// `G g G'` of filters of 3x3, `L` side by side: at most `7 * 7 * 128` in magnitude.
pub fn transform_weights<const L: usize>(filters: &[[i16; L]; 9]) -> [[i16; L]; POINTS] {
    let [g0, g1, g2] = [0, 1, 2].map(|column| of_three([0, 3, 6].map(|row| &filters[row + column])));
    let mut points = [[0; L]; POINTS];
    for i in 0..PATCH {
        points[i * PATCH..][..PATCH].copy_from_slice(&of_three([&g0[i], &g1[i], &g2[i]]));
    }
    points
}
