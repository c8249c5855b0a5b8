//! The kernel's vocabulary: flows and what they are made of, expectations, statistics.
//!
//! Values ([`Flow`], [`Expectation`]) own what they hold and have public fields; views ([`FlowRef`], [`TupleRef`],
//! [`ExpectationRef`]) borrow the datagram they were read from. A field is an `Option` wherever the kernel may leave
//! the attribute out, so that zero and absent are never confused.

mod counters;
mod dccp;
mod direction;
mod event_kind;
mod expectation;
mod flow;
mod helper;
mod key;
mod labels;
pub(crate) mod nat;
mod protocol;
mod protocol_info;
mod sctp;
mod sequence;
mod statistics;
mod status;
mod synproxy;
mod tcp;
mod timestamp;
mod tuple;

pub use crate::wire::Family;
pub use counters::Counters;
pub use dccp::{DccpInfo, DccpRole, DccpState};
pub use direction::Direction;
pub use event_kind::EventKind;
pub use expectation::{Expectation, ExpectationFlags, ExpectationNat, ExpectationRef};
pub use flow::{Flow, FlowRef};
pub use helper::{Helper, HelperRef};
pub use key::FlowKey;
pub use labels::{Labels, MaskedLabels};
pub use nat::{Endpoint, NatRange};
pub use protocol::Protocol;
pub use protocol_info::ProtocolInfo;
pub use sctp::{SctpInfo, SctpState};
pub use sequence::SequenceAdjustment;
pub use statistics::{CpuStatistics, ExpectationStatistics, GlobalStatistics};
pub use status::Status;
pub use synproxy::Synproxy;
pub use tcp::{MaskedTcpFlags, TcpFlags, TcpInfo, TcpState};
pub use timestamp::{Lifetime, Timestamp};
pub(crate) use tuple::UsualTuple;
pub use tuple::{Layer4, Tuple, TupleRef};
