//! A datagram as an iterator of messages.
//!
//! ```text
//!  0       4       6       8       12      16
//!  +-------+-------+-------+-------+-------+------------------+
//!  | len   | type  | flags | seq   | port  | payload, to len  |   struct nlmsghdr, host order
//!  +-------+-------+-------+-------+-------+------------------+
//!                                          | family | version | res_id (network order) | attributes   struct nfgenmsg
//! ```
//!
//! Source: `include/uapi/linux/netlink.h`, `include/uapi/linux/netfilter/nfnetlink.h`.

use core::{fmt, net::IpAddr};

use byteorder::{ByteOrder, NetworkEndian};

use super::{AttributeSet, Attributes};
use crate::{
    error::{DecodeError, DecodeErrorKind},
    macros::open_enum,
};

/// Bytes of `struct nlmsghdr`.
pub const NETLINK_HEADER_LENGTH: usize = 16;
/// Bytes of `struct nfgenmsg`, which follows it in every netfilter message.
pub const NETFILTER_HEADER_LENGTH: usize = 4;

open_enum! {
    /// The type in a netlink header: netlink's own control messages, or subsystem and message of netfilter.
    ///
    /// # Example
    ///
    /// ```
    /// use ctnetlink::wire::MessageType;
    ///
    /// assert_eq!(MessageType::FLOW_DELETE.0, 0x102); // NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE
    /// assert_eq!(MessageType::FLOW_DELETE.to_string(), "flow delete");
    /// ```
    pub struct MessageType(u16) as "a message type" {
        /// A message without meaning, to be skipped.
        #[doc(alias = "NLMSG_NOOP")]
        NOOP = 1 => "noop",
        /// An error, or an acknowledgement if its code is 0.
        #[doc(alias = "NLMSG_ERROR")]
        ERROR = 2 => "error",
        /// The end of a dump.
        #[doc(alias = "NLMSG_DONE")]
        DONE = 3 => "done",
        /// Data was lost (never sent by Linux; kept because the protocol has it).
        #[doc(alias = "NLMSG_OVERRUN")]
        OVERRUN = 4 => "overrun",
        /// Create or update a flow; as a reply, an entry of the table; as an event, a new or changed flow.
        #[doc(alias = "IPCTNL_MSG_CT_NEW")]
        FLOW_NEW = 0x100 => "flow new",
        /// Get one flow or dump the table.
        #[doc(alias = "IPCTNL_MSG_CT_GET")]
        FLOW_GET = 0x101 => "flow get",
        /// Delete one flow or flush the table; as an event, the end of a flow.
        #[doc(alias = "IPCTNL_MSG_CT_DELETE")]
        FLOW_DELETE = 0x102 => "flow delete",
        /// Get one flow or dump the table, and reset the counters. The kernel's replies to
        /// [`EXPECTATION_STATISTICS`](Self::EXPECTATION_STATISTICS) have this number too.
        #[doc(alias = "IPCTNL_MSG_CT_GET_CTRZERO")]
        FLOW_GET_ZERO_COUNTERS = 0x103 => "flow get and zero counters",
        /// Statistics of each processor.
        #[doc(alias = "IPCTNL_MSG_CT_GET_STATS_CPU")]
        CPU_STATISTICS = 0x104 => "cpu statistics",
        /// Statistics of the table.
        #[doc(alias = "IPCTNL_MSG_CT_GET_STATS")]
        TABLE_STATISTICS = 0x105 => "table statistics",
        /// Dump the flows whose end could not be delivered yet.
        #[doc(alias = "IPCTNL_MSG_CT_GET_DYING")]
        FLOW_GET_DYING = 0x106 => "flow get dying",
        /// Dump the flows not yet in the table (always none since Linux 5.19).
        #[doc(alias = "IPCTNL_MSG_CT_GET_UNCONFIRMED")]
        FLOW_GET_UNCONFIRMED = 0x107 => "flow get unconfirmed",
        /// Create or update an expectation; as a reply, an entry of the table; as an event, a new expectation.
        #[doc(alias = "IPCTNL_MSG_EXP_NEW")]
        EXPECTATION_NEW = 0x200 => "expectation new",
        /// Get one expectation or dump the table.
        #[doc(alias = "IPCTNL_MSG_EXP_GET")]
        EXPECTATION_GET = 0x201 => "expectation get",
        /// Delete one expectation, the expectations of a helper, or all; as an event, the end of an expectation.
        #[doc(alias = "IPCTNL_MSG_EXP_DELETE")]
        EXPECTATION_DELETE = 0x202 => "expectation delete",
        /// Expectation statistics of each processor.
        #[doc(alias = "IPCTNL_MSG_EXP_GET_STATS_CPU")]
        EXPECTATION_STATISTICS = 0x203 => "expectation statistics",
    }
}

bitflags::bitflags! {
    /// The flags of a netlink header. The meaning of some bits depends on the type of the message.
    ///
    /// # Example
    ///
    /// ```
    /// use ctnetlink::wire::Flags;
    ///
    /// let create = Flags::REQUEST | Flags::ACK | Flags::CREATE | Flags::EXCLUSIVE;
    /// assert_eq!(create.bits(), 0x605);
    /// ```
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Flags: u16 {
        /// Every request carries it.
        #[doc(alias = "NLM_F_REQUEST")]
        const REQUEST = 0x1;
        /// One of many, the last of which is a `DONE` message (but see [`Header`]).
        #[doc(alias = "NLM_F_MULTI")]
        const MULTI = 0x2;
        /// Acknowledge success too.
        #[doc(alias = "NLM_F_ACK")]
        const ACK = 0x4;
        /// Send the requester a copy of the event that the request causes.
        #[doc(alias = "NLM_F_ECHO")]
        const ECHO = 0x8;
        /// In an entry of a dump: the table changed since the dump began. Other subsystems of netlink set it. ctnetlink
        /// never does, so a [`Dump`](crate::Dump) ignores it, and a [`Mirror`](crate::Mirror) compares the number of hash
        /// buckets before and after instead.
        #[doc(alias = "NLM_F_DUMP_INTR")]
        const DUMP_INTERRUPTED = 0x10;
        /// The kernel filtered the dump as asked.
        #[doc(alias = "NLM_F_DUMP_FILTERED")]
        const DUMP_FILTERED = 0x20;
        /// In a get: the whole table.
        #[doc(alias = "NLM_F_DUMP")]
        const DUMP = 0x300;
        /// In a NEW request: replace the existing entry.
        #[doc(alias = "NLM_F_REPLACE")]
        const REPLACE = 0x100;
        /// In a NEW request: fail if the entry exists.
        #[doc(alias = "NLM_F_EXCL")]
        const EXCLUSIVE = 0x200;
        /// In a NEW request: create the entry if it does not exist.
        #[doc(alias = "NLM_F_CREATE")]
        const CREATE = 0x400;
        /// In an acknowledgement: only the header of the request is echoed.
        #[doc(alias = "NLM_F_CAPPED")]
        const CAPPED = 0x100;
        /// In an acknowledgement: attributes follow.
        #[doc(alias = "NLM_F_ACK_TLVS")]
        const ACKNOWLEDGEMENT_ATTRIBUTES = 0x200;
        const _ = !0;
    }
}

/// A netlink header.
///
/// ctnetlink has two peculiarities: a reply to a get of one flow carries `MULTI` although no `DONE` follows, and an event
/// always has sequence number 0, with the port of the process that caused it (0: a packet or a timer).
///
/// # Example
///
/// ```
/// use ctnetlink::{Flow, Tuple, wire::{Encoder, Flags, MessageType, Messages}};
///
/// # let original = Tuple::udp("10.0.0.1:40000".parse()?, "10.0.0.2:53".parse()?);
/// # let flow = Flow::new(original, original.inverted().ok_or("no reply")?);
/// # let mut buffer = [0; 256];
/// # let mut encoder = Encoder::new(&mut buffer);
/// # encoder.message(MessageType::FLOW_NEW, Flags::MULTI, 7, flow.family(), |body| flow.encode(body));
/// # let length = encoder.finish()?;
/// # let datagram = &buffer[..length];
/// for message in Messages::new(datagram) {
///     let header = message?.header();
///     assert_eq!((header.message_type, header.sequence), (MessageType::FLOW_NEW, 7));
///     assert_eq!(header.length as usize, datagram.len());
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header {
    /// Bytes of the message including this header, without padding.
    pub length: u32,
    /// The type of the message.
    pub message_type: MessageType,
    /// The flags. Their meaning depends on the type.
    pub flags: Flags,
    /// The number that ties a reply to its request.
    pub sequence: u32,
    /// The netlink port of the sender, or of the process that caused an event.
    pub port: u32,
}

impl Header {
    const fn read(bytes: [u8; NETLINK_HEADER_LENGTH]) -> Self {
        let [l0, l1, l2, l3, t0, t1, f0, f1, s0, s1, s2, s3, p0, p1, p2, p3] = bytes;
        Self {
            length: u32::from_ne_bytes([l0, l1, l2, l3]),
            message_type: MessageType(u16::from_ne_bytes([t0, t1])),
            flags: Flags::from_bits_retain(u16::from_ne_bytes([f0, f1])),
            sequence: u32::from_ne_bytes([s0, s1, s2, s3]),
            port: u32::from_ne_bytes([p0, p1, p2, p3]),
        }
    }

    #[cfg(feature = "packet-core")]
    const fn to_bytes(self) -> [u8; NETLINK_HEADER_LENGTH] {
        let [l0, l1, l2, l3] = self.length.to_ne_bytes();
        let [t0, t1] = self.message_type.0.to_ne_bytes();
        let [f0, f1] = self.flags.bits().to_ne_bytes();
        let [s0, s1, s2, s3] = self.sequence.to_ne_bytes();
        let [p0, p1, p2, p3] = self.port.to_ne_bytes();
        [l0, l1, l2, l3, t0, t1, f0, f1, s0, s1, s2, s3, p0, p1, p2, p3]
    }
}

/// One message of a datagram: header and payload, borrowed.
///
/// # Example
///
/// ```
/// use ctnetlink::{Flow, FlowRef, Tuple, wire::{Encoder, Flags, MessageType, Messages}};
///
/// # let original = Tuple::udp("10.0.0.1:40000".parse()?, "10.0.0.2:53".parse()?);
/// # let flow = Flow::new(original, original.inverted().ok_or("no reply")?);
/// # let mut buffer = [0; 256];
/// # let mut encoder = Encoder::new(&mut buffer);
/// # encoder.message(MessageType::FLOW_NEW, Flags::MULTI, 7, flow.family(), |body| flow.encode(body));
/// # let length = encoder.finish()?;
/// # let datagram = &buffer[..length];
/// for message in Messages::new(datagram) {
///     let message = message?;
///     assert_eq!(message.header().message_type, MessageType::FLOW_NEW);
///     assert_eq!(FlowRef::parse(&message)?.to_flow(), flow);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy)]
pub struct RawMessage<'a> {
    /// The bytes as received: they move in one copy, the fields of a [`Header`] in five.
    header: [u8; NETLINK_HEADER_LENGTH],
    payload: &'a [u8],
    offset: usize,
}

impl<'a> RawMessage<'a> {
    /// Returns the header.
    #[must_use]
    #[inline]
    pub const fn header(&self) -> Header {
        Header::read(self.header)
    }

    /// Returns the bytes after the netlink header.
    #[must_use]
    pub const fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// Returns the position of the message in its datagram.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.offset
    }

    /// Creates a message from a header that was read elsewhere. Offsets in errors count the header too.
    #[cfg(feature = "packet-core")]
    pub(crate) const fn from_parts(header: Header, payload: &'a [u8]) -> Self {
        Self { header: header.to_bytes(), payload, offset: 0 }
    }

    /// Appends the bytes of the message, padded so that another can follow.
    #[cfg(any(all(target_os = "linux", feature = "client"), feature = "fake"))]
    pub(crate) fn append_to(&self, messages: &mut Vec<u8>) {
        messages.extend_from_slice(&self.header);
        messages.extend_from_slice(self.payload);
        messages.resize(messages.len().next_multiple_of(super::attribute::ALIGNMENT), 0);
    }

    /// Returns the payload as a netfilter message.
    ///
    /// # Errors
    ///
    /// [`Truncated`](DecodeErrorKind::Truncated) if there are fewer than four bytes.
    #[inline]
    pub fn netfilter(&self) -> Result<NetfilterMessage<'a>, DecodeError> {
        match self.payload.split_first_chunk::<NETFILTER_HEADER_LENGTH>() {
            Some(([family, version, resource @ ..], attributes)) => Ok(NetfilterMessage {
                family: Family(*family),
                version: *version,
                resource: NetworkEndian::read_u16(resource),
                attributes,
            }),
            None => {
                let offset = self.offset.saturating_add(NETLINK_HEADER_LENGTH);
                Err(truncated(NETFILTER_HEADER_LENGTH, self.payload.len(), offset))
            }
        }
    }

    /// Returns the position of a netfilter message's attributes in the datagram, to be added to the offset of an error.
    pub(crate) const fn attributes_offset(&self) -> usize {
        self.offset.saturating_add(NETLINK_HEADER_LENGTH + NETFILTER_HEADER_LENGTH)
    }

    /// Returns the error for a message of another type than the caller decodes.
    #[inline]
    pub(crate) const fn unexpected_type(&self) -> DecodeError {
        DecodeError::new(DecodeErrorKind::MessageType(self.header().message_type.0), self.offset)
    }
}

impl fmt::Debug for RawMessage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { payload, offset, .. } = self;
        f.debug_struct("RawMessage")
            .field("header", &self.header())
            .field("payload", payload)
            .field("offset", offset)
            .finish()
    }
}

/// A netfilter message: `struct nfgenmsg` and the attributes after it.
///
/// # Example
///
/// ```
/// use ctnetlink::{Flow, Tuple, wire::{Encoder, Flags, MessageType, Messages}};
///
/// # let original = Tuple::udp("10.0.0.1:40000".parse()?, "10.0.0.2:53".parse()?);
/// # let flow = Flow::new(original, original.inverted().ok_or("no reply")?);
/// # let mut buffer = [0; 256];
/// # let mut encoder = Encoder::new(&mut buffer);
/// # encoder.message(MessageType::FLOW_NEW, Flags::MULTI, 7, flow.family(), |body| flow.encode(body));
/// # let length = encoder.finish()?;
/// # let datagram = &buffer[..length];
/// for message in Messages::new(datagram) {
///     let message = message?.netfilter()?;
///     assert_eq!(message.family(), ctnetlink::Family::IPV4);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct NetfilterMessage<'a> {
    family: Family,
    version: u8,
    resource: u16,
    attributes: &'a [u8],
}

impl<'a> NetfilterMessage<'a> {
    /// Returns the layer 3 family (`nfgen_family`).
    #[must_use]
    pub const fn family(&self) -> Family {
        self.family
    }

    /// Returns the version: 0 from the kernel. In a delete request, any other value limits the request to the family.
    #[must_use]
    pub const fn version(&self) -> u8 {
        self.version
    }

    /// Returns the resource id: the processor in per-CPU statistics, else 0.
    pub(crate) const fn resource(&self) -> u16 {
        self.resource
    }

    /// Returns the attributes, with the numbers of `nest`, which depends on the type of the message.
    #[must_use]
    pub const fn attributes(&self, nest: AttributeSet) -> Attributes<'a> {
        Attributes::new(self.attributes, nest)
    }
}

/// The messages of a datagram.
///
/// Iterates over the messages. A message with an impossible length is an error and ends the iteration.
///
/// # Example
///
/// ```
/// use ctnetlink::{Flow, Tuple, wire::{Encoder, Flags, MessageType, Messages}};
///
/// # let original = Tuple::udp("10.0.0.1:40000".parse()?, "10.0.0.2:53".parse()?);
/// # let flow = Flow::new(original, original.inverted().ok_or("no reply")?);
/// # let mut buffer = [0; 256];
/// # let mut encoder = Encoder::new(&mut buffer);
/// # encoder.message(MessageType::FLOW_NEW, Flags::MULTI, 7, flow.family(), |body| flow.encode(body));
/// # let length = encoder.finish()?;
/// # let datagram = &buffer[..length];
/// assert_eq!(Messages::new(datagram).count(), 1);
/// assert!(Messages::new(&datagram[..20]).next().is_some_and(|message| message.is_err()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Messages<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Messages<'a> {
    /// Iterates over the messages of a datagram as it was received.
    #[must_use]
    pub const fn new(datagram: &'a [u8]) -> Self {
        Self { rest: datagram, offset: 0 }
    }

    /// Iterates over the messages of a datagram from byte `offset` on.
    pub(crate) fn at(datagram: &'a [u8], offset: usize) -> Self {
        Self { rest: datagram.get(offset..).unwrap_or_default(), offset }
    }

    /// Returns the position of the next message.
    pub(crate) const fn offset(&self) -> usize {
        self.offset
    }

    #[inline]
    fn truncated(&mut self, needed: usize) -> DecodeError {
        let available = self.rest.len();
        self.rest = &[];
        truncated(needed, available, self.offset)
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<RawMessage<'a>, DecodeError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let Some(header) = self.rest.first_chunk().copied() else {
            return Some(Err(self.truncated(NETLINK_HEADER_LENGTH)));
        };
        let length = Header::read(header).length as usize;
        let Some(payload) = self.rest.get(NETLINK_HEADER_LENGTH..length) else {
            return Some(Err(self.truncated(length.max(NETLINK_HEADER_LENGTH))));
        };
        let message = RawMessage { header, payload, offset: self.offset };
        // The last message need not be padded.
        let advance = length.next_multiple_of(super::attribute::ALIGNMENT).min(self.rest.len());
        self.rest = self.rest.get(advance..).unwrap_or_default();
        self.offset = self.offset.saturating_add(advance);
        Some(Ok(message))
    }
}

#[cold]
#[inline(never)]
const fn truncated(needed: usize, available: usize, offset: usize) -> DecodeError {
    DecodeError::new(DecodeErrorKind::Truncated { needed: needed as u32, available: available as u32 }, offset)
}

impl core::iter::FusedIterator for Messages<'_> {}

open_enum! {
    /// A layer 3 family (`nfgen_family`): the number of an address family.
    ///
    /// # Example
    ///
    /// ```
    /// use ctnetlink::Family;
    ///
    /// assert_eq!(Family::of([10, 0, 0, 1].into()), Family::IPV4);
    /// assert_eq!("ipv6".parse(), Ok(Family::IPV6));
    /// ```
    #[derive(Default)]
    pub struct Family(u8) as "a family" {
        /// Any: in a dump, all families.
        #[doc(alias = "AF_UNSPEC")]
        UNSPEC = 0 => "unspec",
        /// IPv4.
        #[doc(alias = "AF_INET")]
        IPV4 = 2 => "ipv4",
        /// IPv6.
        #[doc(alias = "AF_INET6")]
        IPV6 = 10 => "ipv6",
    }
}

impl Family {
    /// Returns the family of an address.
    #[must_use]
    #[inline]
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::IPV4,
            IpAddr::V6(_) => Self::IPV6,
        }
    }
}
