//! Decoding of messages.

use super::Message;
use crate::{
    error::DecodeError,
    filter::KernelFilter,
    model::{CpuStatistics, Expectation, ExpectationStatistics, Family, Flow, FlowKey, TableStatistics},
    request::{
        DeleteFlow, DumpExpectations, DumpFlows, ExpectationKey, FlowUpdate, FlushFlows, GetFlow, NewFlow, Table,
    },
    wire::{
        self, Acknowledgement, AttributeSet, Attributes, CTA_EXPECT_HELP_NAME, CTA_EXPECT_TUPLE, CTA_FILTER,
        CTA_TUPLE_ORIG, Flags, MessageType,
    },
};

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
        request::EncodeRequest,
        wire::{CTA_LABELS_MASK, CTA_MARK_MASK, Encoder, Messages},
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
