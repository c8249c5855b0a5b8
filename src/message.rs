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

use crate::{
    error::{DecodeError, Errno},
    filter::KernelFilter,
    model::{CpuStatistics, Expectation, ExpectationStatistics, Family, Flow, FlowKey, TableStatistics},
    request::{
        CreateExpectation, DeleteExpectation, DeleteExpectationsOf, DeleteFlow, DumpCpuStatistics,
        DumpExpectationStatistics, DumpExpectations, DumpFlows, EncodeRequest, ExpectationKey, FlowUpdate,
        FlushExpectations, FlushFlows, GetExpectation, GetFlow, GetTableStatistics, NewFlow, Table, UpdateFlow,
    },
    wire::{
        self, Acknowledgement, AttributeSet, Attributes, CTA_EXPECT_HELP_NAME, CTA_EXPECT_TUPLE, CTA_FILTER,
        CTA_TUPLE_ORIG, Encoder, Flags, MessageType, NetfilterHeader,
    },
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

/// Runs `$body` with the request in a variant, or `$other` for a message that is not a request.
macro_rules! with_request {
    ($message:expr, |$request:ident| $body:expr, $other:pat => $otherwise:expr) => {
        match $message {
            Message::CreateFlow($request) => $body,
            Message::UpdateFlow { key, update } => {
                let $request = &UpdateFlow::new(*key, update);
                $body
            }
            Message::GetFlow($request) => $body,
            Message::DumpFlows($request) => $body,
            Message::DeleteFlow($request) => $body,
            Message::FlushFlows($request) => $body,
            Message::GetTableStatistics => {
                let $request = &GetTableStatistics;
                $body
            }
            Message::DumpCpuStatistics => {
                let $request = &DumpCpuStatistics;
                $body
            }
            Message::CreateExpectation { expectation, or_update } => {
                let request = CreateExpectation::new(expectation);
                let $request = &if *or_update { request.or_update() } else { request };
                $body
            }
            Message::GetExpectation(key) => {
                let $request = &GetExpectation(*key);
                $body
            }
            Message::DumpExpectations($request) => $body,
            Message::DeleteExpectation(key) => {
                let $request = &DeleteExpectation(*key);
                $body
            }
            Message::DeleteExpectationsOf(helper) => {
                let $request = &DeleteExpectationsOf(helper);
                $body
            }
            Message::FlushExpectations => {
                let $request = &FlushExpectations;
                $body
            }
            Message::DumpExpectationStatistics => {
                let $request = &DumpExpectationStatistics;
                $body
            }
            $other => $otherwise,
        }
    };
}

impl Message {
    /// Returns the type in the header.
    #[must_use]
    pub fn message_type(&self) -> MessageType {
        with_request!(self, |request| request.header().message_type, answer => match answer {
            Self::Flow(_) => MessageType::FLOW_NEW,
            Self::FlowDestroyed(_) => MessageType::FLOW_DELETE,
            Self::Expectation(_) => MessageType::EXPECTATION_NEW,
            Self::ExpectationDestroyed(_) => MessageType::EXPECTATION_DELETE,
            Self::TableStatistics(_) => MessageType::TABLE_STATISTICS,
            Self::CpuStatistics(_) => MessageType::CPU_STATISTICS,
            Self::ExpectationStatistics(_) => MessageType::FLOW_GET_ZERO_COUNTERS,
            Self::Acknowledgement(_) => MessageType::ERROR,
            Self::Done(_) => MessageType::DONE,
            Self::Overrun => MessageType::OVERRUN,
            _ => MessageType::NOOP,
        })
    }

    /// Returns the flags in the header: the mandatory flags of a request, or `MULTI` for an entry of a reply. A NEW event
    /// has `CREATE` and `EXCLUSIVE` instead.
    #[must_use]
    pub fn flags(&self) -> Flags {
        with_request!(self, |request| request.header().flags, answer => match answer {
            Self::Acknowledgement(answer) => answer.flags(),
            Self::FlowDestroyed(_) | Self::ExpectationDestroyed(_) | Self::Overrun | Self::Noop => Flags::empty(),
            _ => Flags::MULTI,
        })
    }

    /// Writes the payload, without the netlink header.
    pub(crate) fn encode_payload(&self, encoder: &mut Encoder<'_>) {
        with_request!(self, |request| request.encode_payload(encoder), answer => match answer {
            Self::Flow(flow) | Self::FlowDestroyed(flow) => {
                encoder.netfilter_header(NetfilterHeader::new(flow.family()));
                flow.encode(encoder);
            }
            Self::Expectation(expectation) | Self::ExpectationDestroyed(expectation) => {
                encoder.netfilter_header(NetfilterHeader::new(expectation.family()));
                expectation.encode(encoder);
            }
            Self::TableStatistics(counts) => {
                encoder.netfilter_header(NetfilterHeader::new(Family::UNSPEC));
                counts.encode(encoder);
            }
            Self::CpuStatistics(counts) => {
                encoder.netfilter_header(NetfilterHeader::new(Family::UNSPEC).with_resource(counts.cpu));
                counts.encode(encoder);
            }
            Self::ExpectationStatistics(counts) => {
                encoder.netfilter_header(NetfilterHeader::new(Family::UNSPEC).with_resource(counts.cpu));
                counts.encode(encoder);
            }
            Self::Acknowledgement(answer) => answer.encode(encoder),
            Self::Done(Errno(errno)) => encoder.raw(&errno.saturating_neg().to_ne_bytes()),
            _ => {}
        });
    }

    /// Writes the whole message with a sequence number.
    pub fn encode(&self, sequence: u32, encoder: &mut Encoder<'_>) {
        encoder.netlink_message(self.message_type(), self.flags(), sequence, |payload| self.encode_payload(payload));
    }
}

impl Message {
    /// Decodes any message of connection tracking.
    ///
    /// # Errors
    ///
    /// [`MessageType`](crate::DecodeErrorKind::MessageType) for a type of another subsystem or of a newer kernel; another
    /// kind if an attribute is malformed or missing.
    pub fn decode(message: &wire::RawMessage<'_>) -> Result<Self, DecodeError> {
        match message.header().message_type {
            MessageType::NOOP => Ok(Self::Noop),
            MessageType::OVERRUN => Ok(Self::Overrun),
            MessageType::DONE => Acknowledgement::parse(message).map(|done| Self::Done(done.errno)),
            MessageType::ERROR => Acknowledgement::parse(message).map(Self::Acknowledgement),
            _ if message.header().flags.contains(Flags::REQUEST) => decode_request(message)
                .map_err(|error| error.moved(message.attributes_offset()))?
                .ok_or_else(|| message.unexpected_type()),
            _ => decode_answer(message),
        }
    }
}

fn decode_answer(message: &wire::RawMessage<'_>) -> Result<Message, DecodeError> {
    Ok(match message.header().message_type {
        MessageType::FLOW_NEW => Message::Flow(Flow::decode(message)?),
        MessageType::FLOW_DELETE => Message::FlowDestroyed(Flow::decode(message)?),
        MessageType::EXPECTATION_NEW => Message::Expectation(Expectation::decode(message)?),
        MessageType::EXPECTATION_DELETE => Message::ExpectationDestroyed(Expectation::decode(message)?),
        MessageType::CPU_STATISTICS => Message::CpuStatistics(CpuStatistics::decode(message)?),
        MessageType::TABLE_STATISTICS => Message::TableStatistics(TableStatistics::decode(message)?),
        // Replies with these statistics carry the number of a message of the other subsystem.
        MessageType::FLOW_GET_ZERO_COUNTERS => Message::ExpectationStatistics(ExpectationStatistics::decode(message)?),
        _ => return Err(message.unexpected_type()),
    })
}

/// `None` for a type that is not a request.
fn decode_request(message: &wire::RawMessage<'_>) -> Result<Option<Message>, DecodeError> {
    let header = message.header();
    let netfilter = message.netfilter()?;
    let family = netfilter.family();
    let is_dump = header.flags.intersects(Flags::DUMP);
    let flow = netfilter.attributes(AttributeSet::Flow);
    let expectation = netfilter.attributes(AttributeSet::Expectation);
    Ok(Some(match header.message_type {
        MessageType::FLOW_NEW if header.flags.contains(Flags::CREATE) => {
            Message::CreateFlow(NewFlow::decode(flow, !header.flags.contains(Flags::EXCLUSIVE))?)
        }
        MessageType::FLOW_NEW => Message::UpdateFlow { key: require_key(flow)?, update: FlowUpdate::decode(flow)? },
        MessageType::FLOW_GET if is_dump => Message::DumpFlows(DumpFlows::decode(family, flow)?),
        MessageType::FLOW_GET => Message::GetFlow(GetFlow::new(require_key(flow)?)),
        MessageType::FLOW_GET_ZERO_COUNTERS if is_dump => {
            Message::DumpFlows(DumpFlows::decode(family, flow)?.and_zero_counters())
        }
        MessageType::FLOW_GET_ZERO_COUNTERS => Message::GetFlow(GetFlow::new(require_key(flow)?).and_zero_counters()),
        // The kernel checks the family only.
        MessageType::FLOW_GET_DYING => Message::DumpFlows(DumpFlows::new().of_family(family).of_table(Table::Dying)),
        MessageType::FLOW_GET_UNCONFIRMED => {
            Message::DumpFlows(DumpFlows::new().of_family(family).of_table(Table::Unconfirmed))
        }
        MessageType::FLOW_DELETE => decode_delete(family, netfilter.version(), flow)?,
        MessageType::CPU_STATISTICS => Message::DumpCpuStatistics,
        MessageType::TABLE_STATISTICS => Message::GetTableStatistics,
        MessageType::EXPECTATION_NEW if header.flags.contains(Flags::CREATE) => Message::CreateExpectation {
            expectation: Expectation::from_attributes(expectation)?,
            or_update: !header.flags.contains(Flags::EXCLUSIVE),
        },
        MessageType::EXPECTATION_GET if is_dump => {
            Message::DumpExpectations(DumpExpectations::decode(family, expectation)?)
        }
        MessageType::EXPECTATION_GET => Message::GetExpectation(require_expectation_key(expectation)?),
        MessageType::EXPECTATION_DELETE => decode_expectation_delete(expectation)?,
        MessageType::EXPECTATION_STATISTICS => Message::DumpExpectationStatistics,
        _ => return Ok(None),
    }))
}

/// Like the kernel, treats a delete without a tuple, or with a filter, as a flush.
fn decode_delete(family: Family, version: u8, attributes: Attributes<'_>) -> Result<Message, DecodeError> {
    let filtered = attributes.find(CTA_FILTER).is_some();
    // In version 0 the kernel checks the family only if there is a filter on tuples.
    let family = if version == 0 && !filtered { Family::UNSPEC } else { family };
    Ok(match FlowKey::decode(attributes) {
        Ok(Some(key)) if !filtered => Message::DeleteFlow(DeleteFlow::new(key)),
        Err(error) if !filtered => return Err(error),
        _ => Message::FlushFlows(FlushFlows::matching(KernelFilter::decode(family, attributes)?)),
    })
}

fn decode_expectation_delete(attributes: Attributes<'_>) -> Result<Message, DecodeError> {
    if let Some(key) = ExpectationKey::decode(attributes)? {
        return Ok(Message::DeleteExpectation(key));
    }
    Ok(match attributes.find(CTA_EXPECT_HELP_NAME) {
        Some(name) => Message::DeleteExpectationsOf(name.text()?.into()),
        None => Message::FlushExpectations,
    })
}

fn require_key(attributes: Attributes<'_>) -> Result<FlowKey, DecodeError> {
    FlowKey::decode(attributes)?.ok_or_else(|| attributes.missing(CTA_TUPLE_ORIG))
}

fn require_expectation_key(attributes: Attributes<'_>) -> Result<ExpectationKey, DecodeError> {
    ExpectationKey::decode(attributes)?.ok_or_else(|| attributes.missing(CTA_EXPECT_TUPLE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Filter, Tuple,
        filter::Capabilities,
        wire::{CTA_LABELS_MASK, CTA_MARK_MASK, Messages},
    };

    fn written(request: &impl EncodeRequest) -> Vec<u8> {
        let mut buffer = vec![0; 512];
        let mut encoder = Encoder::new(&mut buffer);
        request.encode(1, &mut encoder);
        let length = encoder.finish().unwrap();
        buffer.truncate(length);
        buffer
    }

    fn read(bytes: &[u8]) -> Result<Message, DecodeError> {
        Message::decode(&Messages::new(bytes).next().unwrap().unwrap())
    }

    /// With a filter on tuples, the kernel checks the family in version 0 too.
    #[test]
    fn filtered_delete_of_version_0_keeps_its_family() {
        let filter: Filter = "proto tcp and dport 22 and src 10.0.0.1".parse().unwrap();
        let flush = FlushFlows::matching(filter.plan(&Capabilities::linux(6, 18)).flush().unwrap()[0]);
        let mut bytes = written(&flush);
        assert_eq!(core::mem::replace(&mut bytes[17], 0), 1, "the version");
        assert_eq!(read(&bytes), Ok(Message::FlushFlows(flush)));
        let mut bytes = written(&FlushFlows::of_family(Family::IPV6));
        bytes[17] = 0;
        assert_eq!(read(&bytes), Ok(Message::FlushFlows(FlushFlows::all())));
    }

    #[test]
    fn create_with_a_mask_is_refused() {
        let tuple = Tuple::udp(([10, 0, 0, 1], 1).into(), ([10, 0, 0, 2], 53).into());
        let bytes = written(&NewFlow::untranslated(tuple, 60).unwrap());
        for (number, mask) in [(CTA_MARK_MASK, &[0, 0, 0, 1][..]), (CTA_LABELS_MASK, &[1; 16])] {
            let mut attribute = [0; 64];
            let mut encoder = Encoder::new(&mut attribute);
            encoder.attribute(number, mask);
            let length = encoder.finish().unwrap();
            let mut masked = [&bytes, &attribute[..length]].concat();
            let total = masked.len() as u32;
            masked[..4].copy_from_slice(&total.to_ne_bytes());
            assert!(read(&masked).unwrap_err().to_string().contains("a create with a mask"));
        }
    }
}
