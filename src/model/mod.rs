//! The kernel's vocabulary: flows and their parts, expectations, statistics.
//!
//! Values ([`Flow`], [`Expectation`]) own their data and have public fields. Views ([`FlowRef`], [`TupleRef`],
//! [`ExpectationRef`]) borrow the receive buffer. A field is an `Option` if the kernel can leave the attribute out: zero
//! and absent are different.
//!
//! # Units and byte order
//!
//! Every number is in the byte order of the host: reading and writing a message convert ports, keys and marks. Timeouts are seconds, points in time are nanoseconds since 1970 ([`Timestamp`]), counters are
//! packets and bytes. The name in parentheses is the attribute of `linux/netfilter/nfnetlink_conntrack.h` that a field
//! comes from.
//!
//! # Example
//!
//! ```
//! use ctnetlink::{Flow, ProtocolInfo, Status, TcpInfo, TcpState, Tuple};
//!
//! let original = Tuple::tcp("10.0.0.1:40000".parse()?, "10.0.0.2:22".parse()?);
//! let mut flow = Flow::new(original, original.inverted().expect("TCP has replies"));
//! flow.status = Some("SEEN_REPLY,ASSURED".parse()?);
//! flow.protocol_info = Some(ProtocolInfo::Tcp(TcpInfo::new(TcpState::ESTABLISHED)));
//!
//! assert_eq!(flow.tcp_state(), Some(TcpState::ESTABLISHED));
//! assert!(flow.status.is_some_and(|status| status.contains(Status::ASSURED)));
//! assert_eq!(TcpState(77).to_string(), "77"); // a state that no kernel has today
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod accounting;
mod expectation;
mod flow;
mod metadata;
pub(crate) mod nat;
mod protocol;
mod status;
mod tcp;
mod tuple;

pub use crate::wire::message::Family;
pub use accounting::{Counters, CpuStatistics, ExpectationStatistics, FlowTimes, TableStatistics, Timestamp};
pub use expectation::{Expectation, ExpectationFlags, ExpectationNat, ExpectationRef};
pub use flow::{AnyFlow, Flow, FlowKey, FlowRef};
pub(crate) use flow::{Sealed, Shape, flow_attributes, flow_getters, inherent_attributes, inherent_getters, last};
pub use metadata::{Helper, HelperRef, Labels, MaskedLabels, MaskedMark};
pub use nat::NatRange;
pub use protocol::{DccpInfo, DccpRole, DccpState, Protocol, ProtocolInfo, SctpInfo, SctpState};
pub use status::{ConntrackInfo, EventKind, Status};
pub use tcp::{MaskedTcpFlags, SequenceAdjustment, Synproxy, TcpFlags, TcpInfo, TcpState};
pub use tuple::{Direction, Endpoint, GreKeys, Layer4, Tuple, TupleRef};
pub(crate) use tuple::{UsualTuple, layer4_name, parse_query};
