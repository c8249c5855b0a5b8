//! What the evaluation of a filter reads of a flow.

use crate::model::{AnyFlow, Direction, Flow, FlowRef, UsualTuple};

/// A flow under evaluation. It adds the fast path of [`FlowRef`] to the accessors of [`AnyFlow`].
pub(super) trait Subject: AnyFlow {
    /// The tuple, if each part can be read in place.
    fn usual_tuple(&self, direction: Direction) -> Option<UsualTuple<'_>>;
}

impl Subject for Flow {
    #[inline]
    fn usual_tuple(&self, _: Direction) -> Option<UsualTuple<'_>> {
        None
    }
}

impl Subject for FlowRef<'_> {
    #[inline]
    fn usual_tuple(&self, direction: Direction) -> Option<UsualTuple<'_>> {
        let tuple = match direction {
            Direction::Original => self.original(),
            Direction::Reply => self.reply(),
        };
        UsualTuple::recognise(tuple.attributes().as_bytes())
    }
}

impl Subject for dyn AnyFlow + '_ {
    fn usual_tuple(&self, _: Direction) -> Option<UsualTuple<'_>> {
        None
    }
}
