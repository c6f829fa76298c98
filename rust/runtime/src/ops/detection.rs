//! Ops of detectors: NonMaxSuppression.

use crate::ops::node::{error, made};
use crate::ops::numbers::Number;
use crate::ops::selection::single;
use crate::plan::builder::{Builder, Stop};
use crate::program::{DType, Node, Tensor};

/// A box by its corners.
#[derive(Clone, Copy)]
struct Corners {
    x: [f32; 2],
    y: [f32; 2],
}

impl Corners {
    /// From `[y1, x1, y2, x2]` of any two opposite corners, or from `[x, y, width, height]` around a centre.
    fn new(numbers: [f32; 4], is_centred: bool) -> Corners {
        if is_centred {
            let [x, y, width, height] = numbers;
            let (w, h) = (width / 2.0, height / 2.0);
            return Corners { x: [x - w, x + w], y: [y - h, y + h] };
        }
        let rising = |a: f32, b: f32| if a >= b { [b, a] } else { [a, b] };
        let [y1, x1, y2, x2] = numbers;
        Corners { x: rising(x1, x2), y: rising(y1, y2) }
    }

    fn area(self) -> f32 {
        (self.x[1] - self.x[0]) * (self.y[1] - self.y[0])
    }

    /// Whether intersection over union is above the threshold. Boxes without area overlap nothing.
    fn overlaps(self, other: Corners, threshold: f32) -> bool {
        let common = |a: [f32; 2], b: [f32; 2]| {
            let low = if b[0] > a[0] { b[0] } else { a[0] };
            let high = if b[1] < a[1] { b[1] } else { a[1] };
            (high > low).then_some(high - low)
        };
        let (Some(width), Some(height)) = (common(self.x, other.x), common(self.y, other.y)) else {
            return false;
        };
        let intersection = width * height;
        let (a, b) = (self.area(), other.area());
        let union = a + b - intersection;
        let is_proper = intersection > 0.0 && a > 0.0 && b > 0.0 && union > 0.0;
        is_proper && intersection / union > threshold
    }
}

/// Plans NonMaxSuppression: rows `[batch, class, box]`, class by class, the best score first, of equal scores the box of
/// the lower index. A box whose score is NaN is never taken.
pub fn plan_nms(b: &mut Builder<'_>, node: &Node) -> Result<(), Stop> {
    let (boxes, scores) = (b.known_input(node, 0)?, b.known_input(node, 1)?);
    let most = single(b, node, 2, DType::I64, Tensor::i64s)?.unwrap_or(0);
    let most = usize::try_from(most.max(0)).unwrap_or(usize::MAX);
    let iou_threshold = single(b, node, 3, DType::F32, Tensor::f32s)?.unwrap_or(0.0);
    let score_threshold = single(b, node, 4, DType::F32, Tensor::f32s)?;
    let is_centred = node.attributes.int("center_point_box")? != 0;
    let (&[batches, count, 4], &[of, classes, each]) = (boxes.shape(), scores.shape()) else {
        let what = format!("boxes of shape {:?}, scores of {:?}", boxes.shape(), scores.shape());
        return Err(error(node, &what));
    };
    if of != batches || each != count {
        let what = format!("boxes of shape {:?}, scores of {:?}", boxes.shape(), scores.shape());
        return Err(error(node, &what));
    }
    let (boxes, scores) = (boxes.f32s()?, scores.f32s()?);
    let (boxes, _) = boxes.as_chunks::<4>();
    let corners: Vec<Corners> = boxes.iter().map(|&numbers| Corners::new(numbers, is_centred)).collect();
    let mut selected = Vec::new();
    for (line, scores) in scores.chunks_exact(count.max(1)).enumerate() {
        let (batch, class) = (line / classes, line % classes);
        let corners = &corners[batch * count..][..count];
        let is_candidate = |score: f32| match score_threshold {
            Some(threshold) => score > threshold,
            None => !score.is_nan(),
        };
        let mut order: Vec<usize> = (0..count).filter(|&i| is_candidate(scores[i])).collect();
        order.sort_by(|&a, &b| scores[b].order(scores[a]).then(a.cmp(&b)));
        let mut taken: Vec<usize> = Vec::new();
        for candidate in order {
            if taken.len() >= most {
                break;
            }
            let of = corners[candidate];
            if !taken.iter().any(|&other| of.overlaps(corners[other], iou_threshold)) {
                taken.push(candidate);
            }
        }
        selected.extend(taken.into_iter().flat_map(|taken| [batch as i64, class as i64, taken as i64]));
    }
    Ok(b.know(made(node, 0)?, Tensor::from_i64s(&[selected.len() / 3, 3], &selected)?)?)
}
