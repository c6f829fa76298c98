//! Resize by nearest neighbour: which input index each output index takes.

use crate::error::Error;
use crate::ops::movement::{FILL, LARGEST_EXTENT};
use crate::ops::{axis, error};
use crate::plan::builder::Builder;
use crate::program::Node;

/// One map a dimension, as ONNX's Resize defines them.
pub fn nearest_maps(b: &Builder<'_>, node: &Node, shape: &[usize]) -> Result<Vec<Vec<usize>>, Error> {
    let rank = shape.len();
    let a = &node.attributes;
    if a.str("mode")? != "nearest" {
        return Err(error(node, &format!("mode '{}' does not run: nearest does", a.str("mode")?)));
    }
    let transformation = a.str("coordinate_transformation_mode")?;
    let rounding = a.str("nearest_mode")?;
    let axes: Vec<usize> = if a.has("axes") {
        a.ints("axes")?.iter().map(|&d| axis(node, d, rank)).collect::<Result<_, _>>()?
    } else {
        (0..rank).collect()
    };
    let (extents, scales) = extents(b, node, shape, &axes)?;
    let mut maps: Vec<Vec<usize>> = shape.iter().map(|&n| (0..n).collect()).collect();
    for (i, &d) in axes.iter().enumerate() {
        let (n, extent, scale) = (shape[d], extents[i], scales[i]);
        if extent > LARGEST_EXTENT || (n == 0 && extent > 0) {
            return Err(error(node, &format!("resizes an axis of {n} to {extent}")));
        }
        let mut map = Vec::with_capacity(extent);
        for y in 0..extent {
            let x = original(transformation, y, scale, n, extent)
                .ok_or_else(|| error(node, &format!("coordinates by '{transformation}' do not run")))?;
            map.push(
                nearest(rounding, x, n)
                    .ok_or_else(|| error(node, &format!("nearest_mode '{rounding}' is unknown")))?,
            );
        }
        maps[d] = map;
    }
    debug_assert!(maps.iter().flatten().all(|&i| i != FILL));
    Ok(maps)
}

/// The output's extents and the scales of the resized axes.
fn extents(
    b: &Builder<'_>,
    node: &Node,
    shape: &[usize],
    axes: &[usize],
) -> Result<(Vec<usize>, Vec<f64>), Error> {
    let policy = node.attributes.str("keep_aspect_ratio_policy")?;
    if let Some(sizes) = b.known_ints_opt(node, 3)?.filter(|sizes| !sizes.is_empty()) {
        if sizes.len() != axes.len() || sizes.iter().any(|&s| s < 0) {
            return Err(error(node, &format!("sizes {sizes:?} for {} axes", axes.len())));
        }
        let mut scales: Vec<f64> =
            sizes.iter().zip(axes).map(|(&s, &d)| s as f64 / shape[d].max(1) as f64).collect();
        let mut extents: Vec<usize> = sizes.iter().map(|&s| s as usize).collect();
        if policy != "stretch" {
            let pick = if policy == "not_larger" { f64::min } else { f64::max };
            let scale = scales.iter().copied().reduce(pick).unwrap_or(1.0);
            scales.iter_mut().for_each(|s| *s = scale);
            extents = axes.iter().map(|&d| (scale * shape[d] as f64 + 0.5).floor() as usize).collect();
        }
        return Ok((extents, scales));
    }
    let scales = b.known_input(node, 2)?.f32s()?;
    let fits = scales.len() == axes.len() && scales.iter().all(|s| s.is_finite() && *s > 0.0);
    if !fits {
        return Err(error(node, &format!("scales {scales:?} for {} axes", axes.len())));
    }
    // A float32 product, as ONNX's own implementations take it: 0.7 times 10 is 7.
    let extents = scales.iter().zip(axes).map(|(s, &d)| (s * shape[d] as f32).floor() as usize).collect();
    Ok((extents, scales.into_iter().map(f64::from).collect()))
}

/// The coordinate in the input of an output coordinate.
fn original(transformation: &str, y: usize, scale: f64, n: usize, extent: usize) -> Option<f64> {
    let y = y as f64;
    Some(match transformation {
        "half_pixel" => (y + 0.5) / scale - 0.5,
        "half_pixel_symmetric" => {
            let adjustment = extent as f64 / (scale * n as f64);
            let centre = n as f64 / 2.0;
            centre * (1.0 - adjustment) + (y + 0.5) / scale - 0.5
        }
        "pytorch_half_pixel" if extent > 1 => (y + 0.5) / scale - 0.5,
        "pytorch_half_pixel" => 0.0,
        "align_corners" if extent > 1 => y * (n as f64 - 1.0) / (extent as f64 - 1.0),
        "align_corners" => 0.0,
        "asymmetric" => y / scale,
        _ => return None,
    })
}

/// The index nearest to a coordinate, inside `0..n`.
fn nearest(rounding: &str, x: f64, n: usize) -> Option<usize> {
    let index = match rounding {
        "round_prefer_floor" => (x - 0.5).ceil(),
        "round_prefer_ceil" => (x + 0.5).floor(),
        "floor" => x.floor(),
        "ceil" => x.ceil(),
        _ => return None,
    };
    Some((index.max(0.0) as usize).min(n.saturating_sub(1)))
}
