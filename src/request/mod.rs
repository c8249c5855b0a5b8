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
mod encode;
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
pub(crate) use encode::{EncodeRequest, RequestHeader};
pub(crate) use expectation::GetExpectation;
pub(crate) use read::{DumpCpuStatistics, DumpExpectationStatistics, GetTableStatistics};

use crate::wire::Flags;

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

/// The flags of a request that creates an entry, or fails if it exists unless it may update.
const fn creation(or_update: bool) -> Flags {
    if or_update { Flags::CREATE } else { Flags::CREATE.union(Flags::EXCLUSIVE) }
}
