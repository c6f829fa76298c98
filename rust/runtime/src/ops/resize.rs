//! Resize: where each element of the output lies in the input, and which element is the nearest.

use crate::ops::node::{LARGEST_EXTENT, Map, axes, checked_elements, error};
use crate::plan::builder::{Builder, Stop};
use crate::plan::relocation::FILL;
use crate::program::Node;

/// The resized axes of a node, in the node's order, each with its dimension. No output that is checked here is large
/// out of proportion.
pub fn resized_axes(
    b: &Builder<'_>,
    node: &Node,
    shape: &[usize],
) -> Result<Vec<(usize, ResizedAxis)>, Stop> {
    let rank = shape.len();
    let a = &node.attributes;
    let along = if a.has("axes") { axes(node, a.ints("axes")?, rank)? } else { (0..rank).collect() };
    let (extents, scales) = extents(b, node, shape, &along)?;
    let regions = regions(b, node, along.len())?;
    let mut lengths = shape.to_vec();
    along.iter().zip(&extents).for_each(|(&d, &extent)| lengths[d] = extent);
    checked_elements(node, shape, &lengths)?;
    let mut found = Vec::with_capacity(along.len());
    for (i, &d) in along.iter().enumerate() {
        let axis = ResizedAxis { n: shape[d], extent: extents[i], scale: scales[i], region: regions[i] };
        if axis.extent > LARGEST_EXTENT || (axis.n == 0 && axis.extent > 0) {
            return Err(error(node, &format!("resizes an axis of {} to {}", axis.n, axis.extent)));
        }
        found.push((d, axis));
    }
    Ok(found)
}

/// One map a dimension, as ONNX's Resize by the nearest element defines them.
pub fn nearest_maps(b: &Builder<'_>, node: &Node, shape: &[usize]) -> Result<Vec<Map>, Stop> {
    let rounding = node.attributes.str("nearest_mode")?;
    let mut maps = vec![None; shape.len()];
    for (d, axis) in resized_axes(b, node, shape)? {
        let mut map = Vec::with_capacity(axis.extent);
        for x in axis.coordinates(node)? {
            let index = nearest(rounding, x, axis.n)
                .ok_or_else(|| error(node, &format!("nearest_mode '{rounding}' is unknown")))?;
            map.push(if axis.is_outside(node, x)? { FILL } else { index });
        }
        maps[d] = Some(map);
    }
    Ok(maps)
}

/// Start and end of the region of each axis that tf_crop_and_resize takes, in parts of the axis.
fn regions(b: &Builder<'_>, node: &Node, axes: usize) -> Result<Vec<(f64, f64)>, Stop> {
    if node.attributes.str("coordinate_transformation_mode")? != "tf_crop_and_resize" {
        return Ok(vec![(0.0, 1.0); axes]);
    }
    let roi = b.known_input(node, 1)?.f32s()?;
    if roi.len() != 2 * axes || !roi.iter().all(|at| at.is_finite()) {
        return Err(error(node, &format!("the region {roi:?} for {axes} axes")));
    }
    Ok((0..axes).map(|i| (roi[i].into(), roi[i + axes].into())).collect())
}

/// The output's extents and the scales of the resized axes.
fn extents(
    b: &Builder<'_>,
    node: &Node,
    shape: &[usize],
    axes: &[usize],
) -> Result<(Vec<usize>, Vec<f64>), Stop> {
    let policy = node.attributes.str("keep_aspect_ratio_policy")?;
    if let Some(sizes) = b.known_ints_opt(node, 3)?.filter(|sizes| !sizes.is_empty()) {
        let is_empty = axes.iter().any(|&d| shape[d] == 0);
        if is_empty || sizes.len() != axes.len() || sizes.iter().any(|&s| s < 0) {
            return Err(error(node, &format!("sizes {sizes:?} for the axes {axes:?} of {shape:?}")));
        }
        let mut scales: Vec<f64> =
            sizes.iter().zip(axes).map(|(&s, &d)| s as f64 / shape[d] as f64).collect();
        let mut extents: Vec<usize> = sizes.iter().map(|&s| s as usize).collect();
        if policy != "stretch" {
            let scale = common_scale(policy, &scales);
            scales.fill(scale);
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

/// The one scale of all axes by which no size is larger, or none smaller, than was asked.
fn common_scale(policy: &str, scales: &[f64]) -> f64 {
    let pick = if policy == "not_larger" { f64::min } else { f64::max };
    scales.iter().copied().reduce(pick).unwrap_or(1.0)
}

/// An axis that is resized.
pub struct ResizedAxis {
    /// The input's extent.
    pub n: usize,
    /// The output's.
    pub extent: usize,
    /// By how much the output is finer.
    pub scale: f64,
    region: (f64, f64),
}

impl ResizedAxis {
    /// Where each element of the output lies in the input.
    pub fn coordinates(&self, node: &Node) -> Result<Vec<f64>, Stop> {
        let transformation = node.attributes.str("coordinate_transformation_mode")?;
        (0..self.extent)
            .map(|y| {
                self.original(transformation, y)
                    .ok_or_else(|| error(node, &format!("coordinates by '{transformation}' do not run")))
            })
            .collect()
    }

    /// Whether a coordinate gives the extrapolation value.
    pub fn is_outside(&self, node: &Node, x: f64) -> Result<bool, Stop> {
        let crops = node.attributes.str("coordinate_transformation_mode")? == "tf_crop_and_resize";
        Ok(crops && (x < 0.0 || x > self.n as f64 - 1.0))
    }

    /// The coordinate in the input of an output coordinate.
    fn original(&self, transformation: &str, y: usize) -> Option<f64> {
        let (y, n, extent, scale) = (y as f64, self.n as f64, self.extent as f64, self.scale);
        let (start, end) = self.region;
        Some(match transformation {
            "half_pixel" => (y + 0.5) / scale - 0.5,
            "half_pixel_symmetric" => {
                let adjustment = extent / (scale * n);
                let centre = n / 2.0;
                centre * (1.0 - adjustment) + (y + 0.5) / scale - 0.5
            }
            "pytorch_half_pixel" if self.extent > 1 => (y + 0.5) / scale - 0.5,
            "pytorch_half_pixel" => 0.0,
            "align_corners" if self.extent > 1 => y * (n - 1.0) / (extent - 1.0),
            "align_corners" => 0.0,
            "asymmetric" => y / scale,
            "tf_crop_and_resize" if self.extent > 1 => {
                start * (n - 1.0) + y * (end - start) * (n - 1.0) / (extent - 1.0)
            }
            "tf_crop_and_resize" => 0.5 * (start + end) * (n - 1.0),
            _ => return None,
        })
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_element_by_every_rule() {
        let rules = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"];
        let cases = [
            (-1.5, [0, 0, 0, 0]),
            (-0.25, [0, 0, 0, 0]),
            (0.0, [0, 0, 0, 0]),
            (0.25, [0, 0, 0, 1]),
            (0.5, [0, 1, 0, 1]),
            (0.75, [1, 1, 0, 1]),
            (1.0, [1, 1, 1, 1]),
            (1.5, [1, 2, 1, 2]),
            (2.5, [2, 3, 2, 3]),
            (2.75, [3, 3, 2, 3]),
            (3.0, [3, 3, 3, 3]),
            (3.5, [3, 4, 3, 4]),
            (4.0, [4, 4, 4, 4]),
            (4.25, [4, 4, 4, 4]),
            (9.0, [4, 4, 4, 4]),
        ];
        for (x, expected) in cases {
            assert_eq!(rules.map(|rule| nearest(rule, x, 5)), expected.map(Some), "{x}");
        }
        assert_eq!((nearest("round", 1.0, 5), nearest("floor", 1.0, 0)), (None, Some(0)));
    }

    #[test]
    fn the_aspect_ratio_is_kept_by_one_scale() {
        let scales = [1.5, 0.5, 2.0];
        assert_eq!((common_scale("not_larger", &scales), common_scale("not_smaller", &scales)), (0.5, 2.0));
        assert_eq!(common_scale("not_larger", &[]), 1.0);
    }

    #[test]
    fn coordinates_by_every_transformation() {
        let axis = |n, extent, scale, region| ResizedAxis { n, extent, scale, region };
        let all = |axis: &ResizedAxis, by: &str| -> Vec<f64> {
            (0..axis.extent).map(|y| axis.original(by, y).expect("a known transformation")).collect()
        };
        let twice = axis(3, 6, 2.0, (0.25, 0.75));
        assert_eq!(all(&twice, "half_pixel"), [-0.25, 0.25, 0.75, 1.25, 1.75, 2.25]);
        assert_eq!(all(&twice, "pytorch_half_pixel"), [-0.25, 0.25, 0.75, 1.25, 1.75, 2.25]);
        assert_eq!(all(&twice, "half_pixel_symmetric"), [-0.25, 0.25, 0.75, 1.25, 1.75, 2.25]);
        assert_eq!(all(&twice, "asymmetric"), [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]);
        assert_eq!(all(&twice, "align_corners"), [0.0, 0.4, 0.8, 1.2, 1.6, 2.0]);
        assert_eq!(all(&twice, "tf_crop_and_resize"), [0.5, 0.7, 0.9, 1.1, 1.3, 1.5]);
        // A scale of 2.5 makes 7.5 elements, of which 7 are: the centre stays where it was.
        let odd = axis(3, 7, 2.5, (0.0, 1.0));
        let centre = odd.original("half_pixel_symmetric", 3).expect("known");
        assert!((centre - 1.0).abs() < 1e-12, "{centre}");
        // One element alone.
        let one = axis(5, 1, 0.2, (0.5, 1.5));
        let names = ["half_pixel", "pytorch_half_pixel", "align_corners", "tf_crop_and_resize", "asymmetric"];
        assert_eq!(names.map(|by| one.original(by, 0)), [2.0, 0.0, 0.0, 4.0, 0.0].map(Some));
        assert_eq!(one.original("cubic", 0), None);
    }
}
