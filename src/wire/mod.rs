//! Bytes: netlink messages, their attributes, and the kernel's numbers.
//!
//! This module does not allocate, does no I/O, and has no notion of a flow.
//!
//! # The contract
//!
//! | call | checked when it succeeds |
//! |---|---|
//! | [`Messages::next`] | the message's header is complete and its length is within the datagram |
//! | [`RawMessage::netfilter`] | the four bytes of `struct nfgenmsg` are present |
//! | [`Attributes::next`] | the attribute's header is complete and its length is within the nest |
//! | [`Attribute::u32`] and the other readers | the payload is at least as long as the type; further bytes are ignored |
//!
//! No call in this module panics, whatever the bytes. Both iterators end after their first error. Attributes inside a
//! payload are checked when that payload is walked. The views of the model ([`FlowRef`](crate::FlowRef) …) walk
//! everything once when they are created.
//!
//! # Byte order
//!
//! Netlink's own headers are in the order of the host. Payloads of ctnetlink attributes are in network order, except
//! for labels and the flags of `CTA_FILTER`. The name of each reader says which it reads.
//!
//! # Example
//!
//! ```
//! use ctnetlink::wire::{self, Messages, AttributeSet};
//!
//! # let datagram = ctnetlink::wire::example_datagram();
//! for message in Messages::new(&datagram) {
//!     let message = message?;
//!     for attribute in message.netfilter()?.attributes(AttributeSet::Flow) {
//!         let attribute = attribute?;
//!         if attribute.number() == wire::CTA_MARK {
//!             assert_eq!(attribute.u32()?, 42);
//!         }
//!     }
//! }
//! # Ok::<(), ctnetlink::DecodeError>(())
//! ```

mod attribute;
mod attributes;
mod encoder;
pub(crate) mod message;
mod reply;

pub use attribute::{Attribute, Attributes};
pub(crate) use attribute::{FixedLayout, FixedNest, HeaderAt, Walk};
pub use attributes::*;
pub use encoder::Encoder;
pub(crate) use encoder::{Encode, NetfilterHeader};
pub(crate) use message::Family;
pub use message::{
    Flags, Header, MessageType, Messages, NETFILTER_HEADER_LENGTH, NETLINK_HEADER_LENGTH, NetfilterMessage, RawMessage,
};
pub use reply::Acknowledgement;

/// A datagram of one message with a mark of 42, for the examples in the documentation.
#[doc(hidden)]
#[must_use]
pub fn example_datagram() -> Vec<u8> {
    let mut buffer = vec![0; 64];
    let mut encoder = Encoder::new(&mut buffer);
    encoder.message(MessageType::FLOW_NEW, Flags::empty(), 0, 2, |message| message.u32(CTA_MARK, 42));
    let length = encoder.finish().unwrap_or_default();
    buffer.truncate(length);
    buffer
}
