//! Encoding of messages.

use super::Message;
use crate::{
    error::Errno,
    model::Family,
    request::{
        CreateExpectation, DeleteExpectation, DeleteExpectationsOf, DumpCpuStatistics, DumpExpectationStatistics,
        EncodeRequest, FlushExpectations, GetExpectation, GetTableStatistics, UpdateFlow,
    },
    wire::{Encoder, Flags, MessageType, NetfilterHeader},
};

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
    pub fn encode_payload(&self, encoder: &mut Encoder<'_>) {
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
