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

    pub(super) fn get(&self, index: usize) -> Option<FlowRef<'_>> {
        let start = index.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).map(|(_, end)| *end))?;
        let (family, end) = *self.ends.get(index)?;
        FlowRef::from_attributes(family, self.attributes.get(start..end)?).ok()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = FlowRef<'_>> {
        (0..self.ends.len()).filter_map(|index| self.get(index))
    }

    pub(super) fn length(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.attributes.len()
    }

    pub(super) fn clear(&mut self) {
        self.attributes.clear();
        self.ends.clear();
    }
}
