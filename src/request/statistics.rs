//! Requests for statistics.

use super::{EncodeRequest, RequestHeader};
use crate::{
    error::Operation,
    wire::{Encoder, Family, MessageType},
};

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
