//! Ask for statistics.

use super::Request;
use crate::{
    error::Operation,
    model::Family,
    wire::{Encoder, Flags, MessageType},
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

            fn encode(&self, sequence: u32, encoder: &mut Encoder<'_>) {
                let flags = Flags::REQUEST | Flags::$flags;
                encoder.message(MessageType::$message_type, flags, sequence, Family::UNSPEC, |_| {});
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
