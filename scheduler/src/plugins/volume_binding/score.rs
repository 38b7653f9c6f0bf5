//! How good nodes are for a pod by how much of the storage its volumes would use there.

use super::judge::{Found, Judge};
use crate::cycle::Score;
use crate::plugins::node_resources_fit::broken_line;
use crate::snapshot::NodeIndex;

/// A share of everything.
const WHOLE: i64 = 100;

pub(super) struct Usage<'a> {
    pub(super) judge: Judge<'a>,
    pub(super) shape: &'a [(i64, i64)],
}

/// What is wanted of a class, and what there is.
struct OfClass<'a> {
    class: &'a str,
    requested: i64,
    total: i64,
}

impl Score for Usage<'_> {
    fn score(&self, node: NodeIndex) -> i64 {
        let (mut there, mut made): (Vec<OfClass<'_>>, Vec<OfClass<'_>>) = (Vec::new(), Vec::new());
        // Where the pod does not fit, what does is what counts.
        let _ = self.judge.decide(node, |found| match found {
            Found::Static(claim, volume) => {
                let of = of_class(&mut there, &volume.class);
                of.requested += claim.request.as_ref().map_or(0, api::quantity::Quantity::value);
                of.total += volume.capacity.value();
            }
            Found::Dynamic(claim, Some(room)) => {
                let of = of_class(&mut made, &claim.class);
                of.requested += claim.request.as_ref().map_or(0, api::quantity::Quantity::value);
                // It is the same room for all volumes of the class.
                of.total = room.total;
            }
            Found::Dynamic(_, None) => {}
        });
        self.mean(if there.is_empty() { &made } else { &there })
    }
}

fn of_class<'v, 'a>(classes: &'v mut Vec<OfClass<'a>>, class: &'a str) -> &'v mut OfClass<'a> {
    let position = classes.iter().position(|of| of.class == class).unwrap_or_else(|| {
        classes.push(OfClass { class, requested: 0, total: 0 });
        classes.len() - 1
    });
    &mut classes[position]
}

impl Usage<'_> {
    /// The mean of the scores of all classes, rounded.
    fn mean(&self, classes: &[OfClass<'_>]) -> i64 {
        let Some(count) = i64::try_from(classes.len()).ok().filter(|count| *count > 0) else { return 0 };
        let score = |of: &OfClass<'_>| {
            let full = of.total == 0 || of.requested > of.total;
            let share = i128::from(of.requested) * i128::from(WHOLE) / i128::from(of.total.max(1));
            broken_line(self.shape, if full { WHOLE } else { i64::try_from(share).unwrap_or(WHOLE) })
        };
        let sum: i64 = classes.iter().map(score).sum();
        (2 * sum + count) / (2 * count)
    }
}
