//! Dump the flows.

use super::{EncodeRequest, RequestHeader};
use crate::{
    error::{DecodeError, EncodeError, Operation},
    filter::KernelFilter,
    model::Family,
    wire::{Attributes, Encoder, MessageType},
};

/// The kernel's lists of flows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Table {
    /// The flows that packets are matched with.
    #[default]
    Conntrack,
    /// The flows that have ended, but whose end could not be delivered to a reliable listener yet.
    Dying,
    /// The flows whose first packet is still on its way through the rules. Always empty since Linux 5.19.
    Unconfirmed,
}

/// The request for all flows of a table, or those of a family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DumpFlows {
    table: Table,
    zero_counters: bool,
    filter: KernelFilter,
}

impl DumpFlows {
    /// All flows that packets are matched with.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Those of another list, which the kernel filters by the family alone.
    #[must_use]
    pub const fn of_table(self, table: Table) -> Self {
        Self { table, ..self }
    }

    /// Those of one family, whatever filter was given before.
    #[must_use]
    pub const fn of_family(self, family: Family) -> Self {
        Self { filter: KernelFilter::of_family(family), ..self }
    }

    /// Those that the kernel finds by that filter, which a [`Plan`](crate::filter::Plan) makes: it is known to be
    /// evaluated right, and it may be wider than what is wanted. The family is the filter's.
    #[must_use]
    pub const fn matching(self, filter: KernelFilter) -> Self {
        Self { filter, ..self }
    }

    /// Sets the counters of every flow to zero as it is read. Meaningful for [`Table::Conntrack`] alone.
    ///
    /// The kernel loses counts in this: where a flow does not fit the datagram any more, its counters are zeroed all
    /// the same, and it is sent with zeros in the next one. That is one flow a datagram, or one of some hundred. To
    /// lose nothing, dump without it and take differences, or zero each flow by a
    /// [`GetFlow`](super::GetFlow::and_zero_counters).
    #[must_use]
    pub const fn and_zero_counters(self) -> Self {
        Self { zero_counters: true, ..self }
    }

    /// Which table.
    #[must_use]
    pub const fn table(&self) -> Table {
        self.table
    }

    /// What of it.
    #[must_use]
    pub const fn filter(&self) -> KernelFilter {
        self.filter
    }

    /// Whether the counters of every flow are set to zero.
    #[must_use]
    pub const fn zeroes_counters(&self) -> bool {
        self.zero_counters
    }
}

impl DumpFlows {
    pub(crate) fn decode(family: Family, attributes: Attributes<'_>) -> Result<Self, DecodeError> {
        Ok(Self::new().matching(KernelFilter::decode(family, attributes)?))
    }
}

impl EncodeRequest for DumpFlows {
    fn operation(&self) -> Operation {
        Operation::DumpFlows
    }

    fn header(&self) -> RequestHeader {
        let message_type = match self.table {
            Table::Conntrack if self.zero_counters => MessageType::FLOW_GET_ZERO_COUNTERS,
            Table::Conntrack => MessageType::FLOW_GET,
            Table::Dying => MessageType::FLOW_GET_DYING,
            Table::Unconfirmed => MessageType::FLOW_GET_UNCONFIRMED,
        };
        RequestHeader::dump(message_type, self.filter.family())
    }

    fn encode_attributes(&self, encoder: &mut Encoder<'_>) {
        if self.table != Table::Conntrack && self.filter != KernelFilter::of_family(self.filter.family()) {
            encoder.fail(EncodeError::Value("the kernel filters dying and unconfirmed flows by the family alone"));
        }
        self.filter.encode(encoder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::{Capabilities, Filter};

    /// The kernel passes over the rest of the filter, and lists all of them.
    #[test]
    fn what_the_kernel_does_not_filter_is_refused_a_filter() {
        let encoded = |dump: DumpFlows| {
            let mut buffer = [0; 128];
            let mut encoder = Encoder::new(&mut buffer);
            dump.encode(1, &mut encoder);
            encoder.finish()
        };
        let marked = Filter::mark(1).plan(&Capabilities::linux(6, 18)).dumps()[0];
        assert!(encoded(DumpFlows::new().matching(marked)).is_ok());
        for table in [Table::Dying, Table::Unconfirmed] {
            assert!(encoded(DumpFlows::new().matching(marked).of_table(table)).is_err());
            assert!(encoded(DumpFlows::new().of_family(Family::IPV6).of_table(table)).is_ok());
        }
    }
}
