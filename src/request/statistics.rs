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
        pub struct $name;

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
    ///
    /// # Example
    ///
    /// ```no_run
    /// # let mut client = ctnetlink::Client::open()?;
    /// let mut replies = client.request(&ctnetlink::request::GetGlobalStatistics)?;
    /// while let Some(message) = replies.next_view()? {
    ///     println!("{message:?}");
    /// }
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    // One message arrives and no DONE: the acknowledgement ends the answer.
    GetGlobalStatistics: TABLE_STATISTICS, acknowledged;
    /// The request for the packet counts of each processor.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # let mut client = ctnetlink::Client::open()?;
    /// let mut replies = client.request(&ctnetlink::request::DumpCpuStatistics)?;
    /// while let Some(message) = replies.next_view()? {
    ///     println!("{message:?}");
    /// }
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    DumpCpuStatistics: CPU_STATISTICS, dump;
    /// The request for the expectation counts of each processor.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # let mut client = ctnetlink::Client::open()?;
    /// let mut replies = client.request(&ctnetlink::request::DumpExpectationStatistics)?;
    /// while let Some(message) = replies.next_view()? {
    ///     println!("{message:?}");
    /// }
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    DumpExpectationStatistics: EXPECTATION_STATISTICS, dump;
}
