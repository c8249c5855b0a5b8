//! Every message of connection tracking as one type: requests, replies, events, and netlink's control messages.
//!
//! It is for programs that transport messages without a [`Client`](crate::Client): a monitor of netlink traffic, or the
//! rust-netlink stack (feature `packet-core`).
//!
//! # Example
//!
//! ```
//! use ctnetlink::{Message, request::DumpFlows, wire::{Encoder, Messages}};
//!
//! let mut buffer = [0; 64];
//! let mut encoder = Encoder::new(&mut buffer);
//! Message::from(DumpFlows::new()).encode(1, &mut encoder);
//! let length = encoder.finish()?;
//!
//! let message = Messages::new(&buffer[..length]).next().unwrap()?;
//! assert_eq!(Message::decode(&message)?, Message::DumpFlows(DumpFlows::new()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod decode;
mod encode;

use crate::{
    error::Errno,
    model::{CpuStatistics, Expectation, ExpectationStatistics, Flow, FlowKey, TableStatistics},
    request::{DeleteFlow, DumpExpectations, DumpFlows, ExpectationKey, FlowUpdate, FlushFlows, GetFlow, NewFlow},
    wire::Acknowledgement,
};

/// Any message of connection tracking.
///
/// The variant follows from the type in the header and `NLM_F_REQUEST`: one number means a create request in one
/// direction and an entry of a dump in the other.
///
/// # Example
///
/// ```
/// use ctnetlink::{Message, NewFlow};
///
/// let request = Message::CreateFlow(NewFlow::udp("10.0.0.1:40000".parse()?, "10.0.0.2:53".parse()?).timeout(60));
/// println!("{request:?}");
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(clippy::large_enum_variant, reason = "a flow is what most messages are: a box would be an allocation for each")]
pub enum Message {
    /// Request: create a flow.
    CreateFlow(NewFlow),
    /// Request: change a flow.
    UpdateFlow {
        /// The flow. An update cannot carry the identifier of a key: the kernel does not compare it there, so it is not
        /// encoded, and a decoded key has none.
        key: FlowKey,
        /// The change. Status bits are as on the wire: the current bits and the bits to set.
        update: FlowUpdate,
    },
    /// Request: get one flow.
    GetFlow(GetFlow),
    /// Request: dump flows.
    DumpFlows(DumpFlows),
    /// Request: delete one flow.
    DeleteFlow(DeleteFlow),
    /// Request: delete all flows, the flows of a family, or the flows that match a filter.
    FlushFlows(FlushFlows),
    /// Request: the size of the table.
    GetTableStatistics,
    /// Request: statistics of packets by processor.
    DumpCpuStatistics,
    /// Request: create an expectation.
    CreateExpectation {
        /// The expectation.
        expectation: Expectation,
        /// True to renew the timeout if the expectation exists.
        or_update: bool,
    },
    /// Request: get one expectation.
    GetExpectation(ExpectationKey),
    /// Request: dump expectations.
    DumpExpectations(DumpExpectations),
    /// Request: delete one expectation.
    DeleteExpectation(ExpectationKey),
    /// Request: delete the expectations of a helper.
    DeleteExpectationsOf(Box<str>),
    /// Request: delete all expectations.
    FlushExpectations,
    /// Request: statistics of expectations by processor.
    DumpExpectationStatistics,

    /// Answer: a flow of a dump or a get. Event: a flow that is new (flags `CREATE` and `EXCLUSIVE`) or has changed.
    Flow(Flow),
    /// Event: the end of a flow.
    FlowDestroyed(Flow),
    /// Answer: an expectation. Event: a new one.
    Expectation(Expectation),
    /// Event: the end of an expectation.
    ExpectationDestroyed(Expectation),
    /// Answer: the size of the table.
    TableStatistics(TableStatistics),
    /// Answer: one processor's statistics of packets.
    CpuStatistics(CpuStatistics),
    /// Answer: one processor's statistics of expectations. Its type is the number of a message of the other subsystem.
    ExpectationStatistics(ExpectationStatistics),

    /// Netlink: a request failed, or was done (error number 0).
    Acknowledgement(Acknowledgement),
    /// Netlink: the end of a dump, with an error number or 0.
    Done(Errno),
    /// Netlink: data was lost.
    Overrun,
    /// Netlink: nothing.
    Noop,
}

macro_rules! from {
    ($( $type:ty => $variant:ident; )*) => { $(
        impl From<$type> for Message {
            fn from(value: $type) -> Self {
                Self::$variant(value)
            }
        }
    )* };
}

from! {
    NewFlow => CreateFlow;
    GetFlow => GetFlow;
    DumpFlows => DumpFlows;
    DeleteFlow => DeleteFlow;
    FlushFlows => FlushFlows;
    DumpExpectations => DumpExpectations;
    Flow => Flow;
    Expectation => Expectation;
}
