//! Requests to the kernel, without I/O.
//!
//! A request that lacks a mandatory part does not compile, and values that the kernel would misread are refused when
//! the request is encoded. A [`Client`](crate::Client) sends requests; for another socket, convert them into a
//! [`Message`](crate::Message).
//!
//! # Example
//!
//! ```
//! use ctnetlink::{Tuple, FlowKey, Message, request::DeleteFlow, wire::Encoder};
//!
//! let tuple = Tuple::tcp("10.0.0.1:40000".parse()?, "10.0.0.2:22".parse()?);
//! let mut buffer = [0; 256];
//! let mut encoder = Encoder::new(&mut buffer);
//! Message::from(DeleteFlow::new(FlowKey::original(tuple).with_id(7))).encode(1, &mut encoder);
//! assert_eq!(encoder.finish()?, 80);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(any(all(target_os = "linux", feature = "client"), feature = "fake"))]
mod aim;
pub(crate) mod change;
pub(crate) mod create;
mod expectation;
mod read;

pub(crate) use change::FlowUpdate;
pub use change::{DeleteFlow, FlushFlows, UpdateFlow};
pub(crate) use create::NewFlow;
pub use expectation::{
    CreateExpectation, DeleteExpectation, DeleteExpectationsOf, DumpExpectations, ExpectationKey, FlushExpectations,
};
pub use read::{DumpFlows, GetFlow, Table};

#[cfg(any(all(target_os = "linux", feature = "client"), feature = "fake"))]
pub(crate) use aim::{Aimed, UNUSED_ZONE, aimed, zone_of};
pub(crate) use expectation::GetExpectation;
pub(crate) use read::{DumpCpuStatistics, DumpExpectationStatistics, GetTableStatistics};

use crate::{
    error::Operation,
    model::FlowKey,
    wire::{Encoder, Family, Flags, MessageType, NetfilterHeader},
};

/// A request to the kernel, as [`Client::request`](crate::Client::request) takes it.
///
/// This trait is sealed. To encode a request for a socket of your own, convert it into a [`Message`](crate::Message).
///
/// # Example
///
/// ```no_run
/// use ctnetlink::{Client, Error, request::Request};
///
/// /// Counts the messages of the answer to any request.
/// fn count(client: &mut Client, request: &impl Request) -> Result<usize, Error> {
///     let mut replies = client.request(request)?;
///     let mut messages = 0;
///     while replies.next_view()?.is_some() {
///         messages += 1;
///     }
///     Ok(messages)
/// }
/// # let _ = count(&mut Client::open()?, &ctnetlink::request::DumpFlows::new())?;
/// # Ok::<(), ctnetlink::Error>(())
/// ```
pub trait Request: EncodeRequest {}

impl<T: EncodeRequest + ?Sized> Request for T {}

/// A request that is answered with an acknowledgement only, as [`Client::execute`](crate::Client::execute) and
/// [`Batch::push`](crate::Batch::push) take it. This trait is sealed.
///
/// # Example
///
/// ```no_run
/// use ctnetlink::{Client, Error, NewFlow, request::Command};
///
/// /// Ignores an entry that exists already.
/// fn ensure(client: &mut Client, request: &impl Command) -> Result<(), Error> {
///     match client.execute(request) {
///         Err(error) if error.is_already_exists() => Ok(()),
///         result => result,
///     }
/// }
/// ensure(&mut Client::open()?, &NewFlow::udp("10.0.0.1:40000".parse()?, "10.0.0.2:53".parse()?).timeout(60))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Command: Request {}

impl<T: Command + ?Sized> Command for &T {}

/// The private part of [`Request`].
#[allow(unnameable_types, reason = "sealed: no other crate implements or calls it")]
pub trait EncodeRequest {
    /// The operation, for errors.
    fn operation(&self) -> Operation;

    /// The contents of its headers.
    fn header(&self) -> RequestHeader;

    /// Writes its attributes.
    fn encode_attributes(&self, encoder: &mut Encoder<'_>);

    /// The key of the flow that it names, if it names one.
    fn key(&self) -> Option<FlowKey> {
        None
    }

    /// Writes its attributes with another form of its key.
    fn encode_with_key(&self, key: FlowKey, encoder: &mut Encoder<'_>) {
        let _ = key;
        self.encode_attributes(encoder);
    }

    /// Writes everything after the netlink header: `struct nfgenmsg` and the attributes.
    fn encode_payload(&self, encoder: &mut Encoder<'_>) {
        self.header().encode_netfilter(encoder);
        self.encode_attributes(encoder);
    }

    /// Writes the whole message with that sequence number.
    fn encode(&self, sequence: u32, encoder: &mut Encoder<'_>) {
        let RequestHeader { message_type, flags, .. } = self.header();
        encoder.netlink_message(message_type, flags, sequence, |payload| self.encode_payload(payload));
    }
}

impl<T: EncodeRequest + ?Sized> EncodeRequest for &T {
    fn operation(&self) -> Operation {
        (**self).operation()
    }

    fn header(&self) -> RequestHeader {
        (**self).header()
    }

    fn encode_attributes(&self, encoder: &mut Encoder<'_>) {
        (**self).encode_attributes(encoder);
    }

    fn key(&self) -> Option<FlowKey> {
        (**self).key()
    }

    fn encode_with_key(&self, key: FlowKey, encoder: &mut Encoder<'_>) {
        (**self).encode_with_key(key, encoder);
    }
}

/// The contents of the headers of a request: netlink's and netfilter's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(unnameable_types, reason = "sealed: only `EncodeRequest` uses it")]
pub struct RequestHeader {
    /// The type of the message.
    pub message_type: MessageType,
    /// The flags. They request an acknowledgement if nothing else marks the end of the answer.
    pub flags: Flags,
    /// The family.
    pub family: Family,
    /// The version in netfilter's header, which matters in a flush only.
    pub version: u8,
}

impl RequestHeader {
    /// The headers of a request whose answer ends with an acknowledgement.
    #[must_use]
    pub const fn acknowledged(message_type: MessageType, family: Family) -> Self {
        Self::new(message_type, Flags::ACK, family)
    }

    /// The headers of a request whose answer is a dump, which ends with DONE.
    #[must_use]
    pub const fn dump(message_type: MessageType, family: Family) -> Self {
        Self::new(message_type, Flags::DUMP, family)
    }

    const fn new(message_type: MessageType, flags: Flags, family: Family) -> Self {
        Self { message_type, flags: Flags::REQUEST.union(flags), family, version: 0 }
    }

    /// Adds flags.
    #[must_use]
    pub const fn with_flags(self, flags: Flags) -> Self {
        Self { flags: self.flags.union(flags), ..self }
    }

    /// Sets the version.
    #[must_use]
    pub const fn with_version(self, version: u8) -> Self {
        Self { version, ..self }
    }

    fn encode_netfilter(self, encoder: &mut Encoder<'_>) {
        encoder.netfilter_header(NetfilterHeader::new(self.family).with_version(self.version));
    }
}

/// The flags of a request that creates an entry, or fails if it exists unless it may update.
const fn creation(or_update: bool) -> Flags {
    if or_update { Flags::CREATE } else { Flags::CREATE.union(Flags::EXCLUSIVE) }
}
