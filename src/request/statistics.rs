//! Ask for statistics.

use super::Request;
use crate::{
    error::Operation,
    wire::{Encoder, Family, Flags, MessageType, NetfilterHeader},
};

/// Declares a request that has nothing but its type.
macro_rules! bare_requests {
    ($( $(#[$meta:meta])* $name:ident: $message_type:ident, $flags:ident; )*) => { $(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[allow(clippy::exhaustive_structs)] // There is nothing to say in it.
        pub struct $name;

        impl Request for $name {
            fn operation(&self) -> Operation {
                Operation::GetStatistics
            }

            fn message_type(&self) -> MessageType {
                MessageType::$message_type
            }

            fn flags(&self) -> Flags {
                Flags::REQUEST | Flags::$flags
            }

            fn encode_payload(&self, encoder: &mut Encoder<'_>) {
                encoder.netfilter_header(NetfilterHeader::new(Family::UNSPEC));
            }
        }
    )* };
}

bare_requests! {
    /// The request for the size of the table.
    // One answer comes, and no DONE: the acknowledgement is the end.
    GetGlobalStatistics: GLOBAL_STATISTICS, ACK;
    /// The request for what each processor did with packets.
    DumpCpuStatistics: CPU_STATISTICS, DUMP;
    /// The request for what each processor did with expectations.
    DumpExpectationStatistics: EXPECTATION_STATISTICS, DUMP;
}
