//! Flows that outlive the receive buffer.

use crate::model::{Family, FlowRef};

/// Flows that were read from a receive buffer and are needed beyond it, stored back to back.
#[derive(Debug, Default)]
pub(super) struct KeptFlows {
    attributes: Vec<u8>,
    /// The family of each, and where its attributes end.
    ends: Vec<(Family, usize)>,
}

impl KeptFlows {
    pub(super) fn push(&mut self, flow: &FlowRef<'_>) {
        self.attributes.extend_from_slice(flow.attributes().as_bytes());
        self.ends.push((flow.family(), self.attributes.len()));
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = FlowRef<'_>> {
        let mut start = 0;
        self.ends.iter().filter_map(move |(family, end)| {
            let attributes = self.attributes.get(std::mem::replace(&mut start, *end)..*end)?;
            FlowRef::from_attributes(*family, attributes).ok()
        })
    }

    pub(super) fn clear(&mut self) {
        self.attributes.clear();
        self.ends.clear();
    }
}
