//! Requests that read: one flow, the table, statistics.

use super::{EncodeRequest, RequestHeader};
use crate::{
    error::{DecodeError, EncodeError, Operation},
    filter::KernelFilter,
    model::{Family, FlowKey},
    wire::{Attributes, Encoder, MessageType},
};

/// The request for one flow, by tuple and zone. The kernel compares neither direction nor identifier;
/// [`Client::get`](crate::Client::get) does.
///
/// # Example
///
/// ```
/// use ctnetlink::{FlowKey, Tuple, request::GetFlow};
///
/// let key = FlowKey::original(Tuple::udp("10.0.0.1:40000".parse()?, "10.0.0.2:53".parse()?));
/// assert!(GetFlow::new(key).and_zero_counters().zeroes_counters());
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetFlow {
    key: FlowKey,
    zero_counters: bool,
}

impl GetFlow {
    /// Gets the flow of that key.
    #[must_use]
    pub const fn new(key: FlowKey) -> Self {
        Self { key, zero_counters: false }
    }

    /// Sets the counters of the flow to zero in the same step. Unlike in a dump, no count is lost.
    #[must_use]
    pub const fn and_zero_counters(self) -> Self {
        Self { zero_counters: true, ..self }
    }

    /// Returns the key.
    #[must_use]
    pub const fn key(&self) -> FlowKey {
        self.key
    }

    /// Returns true if the counters of the flow are set to zero.
    #[must_use]
    pub const fn zeroes_counters(&self) -> bool {
        self.zero_counters
    }
}

impl EncodeRequest for GetFlow {
    fn operation(&self) -> Operation {
        Operation::GetFlow
    }

    fn header(&self) -> RequestHeader {
        let message_type = if self.zero_counters { MessageType::FLOW_GET_ZERO_COUNTERS } else { MessageType::FLOW_GET };
        // The answer has the flag MULTI, but no DONE follows: the acknowledgement ends it.
        RequestHeader::acknowledged(message_type, self.key.family())
    }

    fn encode_attributes(&self, encoder: &mut Encoder<'_>) {
        self.key.encode(encoder);
    }

    fn key(&self) -> Option<FlowKey> {
        Some(self.key)
    }

    fn encode_with_key(&self, key: FlowKey, encoder: &mut Encoder<'_>) {
        key.encode(encoder);
    }
}

/// The kernel's lists of flows.
///
/// # Example
///
/// ```no_run
/// # let mut client = ctnetlink::Client::open()?;
/// use ctnetlink::request::{DumpFlows, Table};
///
/// for flow in client.dump_with(&DumpFlows::new().of_table(Table::Dying))? {
///     println!("{}", flow?);
/// }
/// # Ok::<(), ctnetlink::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Table {
    /// The flows that packets are matched with.
    #[default]
    Conntrack,
    /// Flows that have ended, but whose DESTROY event was not delivered to a reliable listener yet.
    Dying,
    /// Flows whose first packet is still in the rules. Always empty since Linux 5.19.
    Unconfirmed,
}

/// The request for the flows of a list: all, those of a family, or those that a kernel filter selects.
///
/// # Example
///
/// ```
/// use ctnetlink::{Family, request::{DumpFlows, Table}};
///
/// let request = DumpFlows::new().of_family(Family::IPV4);
/// assert_eq!((request.table(), request.zeroes_counters()), (Table::Conntrack, false));
/// ```
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

    /// Dumps another list. The kernel filters the other lists by the family only.
    #[must_use]
    pub const fn of_table(self, table: Table) -> Self {
        Self { table, ..self }
    }

    /// Dumps the flows of one family. Replaces the filter.
    #[must_use]
    pub const fn of_family(self, family: Family) -> Self {
        Self { filter: KernelFilter::of_family(family), ..self }
    }

    /// Dumps the flows that the kernel selects with that filter, which comes from a [`Plan`](crate::filter::Plan). It
    /// can select more than the filter of the plan matches. The family is the filter's.
    #[must_use]
    pub const fn matching(self, filter: KernelFilter) -> Self {
        Self { filter, ..self }
    }

    /// Sets the counters of every flow to zero as it is read. Only [`Table::Conntrack`] has it.
    ///
    /// The kernel loses counts in such a dump: if a flow does not fit the datagram, its counters are zeroed all the
    /// same, and the next datagram reports zeros. That happens at most once in each datagram, to one of about a hundred
    /// flows. To lose nothing, dump without this and take differences, or zero the counters of each flow with a
    /// [`GetFlow`](super::GetFlow::and_zero_counters).
    #[must_use]
    pub const fn and_zero_counters(self) -> Self {
        Self { zero_counters: true, ..self }
    }

    /// Returns the list.
    #[must_use]
    pub const fn table(&self) -> Table {
        self.table
    }

    /// Returns the filter.
    #[must_use]
    pub const fn filter(&self) -> KernelFilter {
        self.filter
    }

    /// Returns true if the counters of every flow are set to zero.
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

/// Declares a request that consists of its type only.
macro_rules! bare_requests {
    ($( $(#[$meta:meta])* $name:ident: $message_type:ident, $answer:ident; )*) => { $(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[allow(clippy::exhaustive_structs, reason = "there is nothing to say in it")]
        pub(crate) struct $name;

        impl EncodeRequest for $name {
            fn operation(&self) -> Operation {
                Operation::GetStatistics
            }

            fn header(&self) -> RequestHeader {
                RequestHeader::$answer(MessageType::$message_type, Family::UNSPEC)
            }

            fn encode_attributes(&self, _: &mut Encoder<'_>) {}
        }
    )* };
}

bare_requests! {
    /// The request for the size of the table.
    // One message arrives and no DONE: the acknowledgement ends the answer.
    GetTableStatistics: TABLE_STATISTICS, acknowledged;
    /// The request for the packet counts of each processor.
    DumpCpuStatistics: CPU_STATISTICS, dump;
    /// The request for the expectation counts of each processor.
    DumpExpectationStatistics: EXPECTATION_STATISTICS, dump;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::{Capabilities, Filter};

    /// The kernel would ignore the filter and list every flow.
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
