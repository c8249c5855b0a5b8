//! Flows and expectations as the protocol carries them: a list of attributes.
//!
//! A record keeps every attribute it was sent with, and encodes to the same bytes again. Converting a record into a flow
//! checks whether the attributes fit together ([`super::convert`]).

use std::net::{Ipv4Addr, Ipv6Addr};

use super::wire::Malformed;

/// The length of an attribute's header.
const HEADER: usize = 4;

/// A type of attribute values. The length on the wire has to be exactly that of the type.
trait Value: Sized {
    fn read(payload: &[u8]) -> Option<Self>;
    fn write(&self, payload: &mut Vec<u8>);
}

/// A number that a little-endian conntrackd sends in little-endian order, unlike all others.
///
/// conntrackd swaps it twice. On x86-64 and ARM the bytes are little-endian; a big-endian conntrackd would send them
/// big-endian, and its peer would have to know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_structs, reason = "a number")]
pub struct Swapped(
    /// The number.
    pub u16,
);

/// At most `N` bytes: a text that should end with a zero byte, or words of a bitmap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_structs, reason = "bytes")]
pub struct Bytes<const N: usize>(
    /// The bytes.
    pub Box<[u8]>,
);

impl<const N: usize> Bytes<N> {
    /// Returns the bytes of a text with a zero byte at its end, unless they are too many.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        (text.len() < N && !text.contains('\0')).then(|| Self(text.bytes().chain([0]).collect()))
    }

    /// Returns the text before the first zero byte, or all of it. `None` if it is empty or not UTF-8.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        let text = self.0.split(|byte| *byte == 0).next()?;
        std::str::from_utf8(text).ok().filter(|text| !text.is_empty())
    }
}

impl<const N: usize> Value for Bytes<N> {
    fn read(payload: &[u8]) -> Option<Self> {
        (payload.len() <= N).then(|| Self(payload.into()))
    }

    fn write(&self, payload: &mut Vec<u8>) {
        payload.extend_from_slice(&self.0);
    }
}

/// Values of a fixed length: bytes in network order.
macro_rules! fixed {
    ($($value:ty, $length:literal: |$bytes:ident| $read:expr, |$this:ident| $write:expr;)*) => { $(
        impl Value for $value {
            fn read(payload: &[u8]) -> Option<Self> {
                let $bytes: [u8; $length] = payload.try_into().ok()?;
                Some($read)
            }

            fn write(&self, payload: &mut Vec<u8>) {
                let $this = self;
                payload.extend($write);
            }
        }
    )* };
}

fixed! {
    u8, 1: |bytes| u8::from_be_bytes(bytes), |this| this.to_be_bytes();
    u16, 2: |bytes| u16::from_be_bytes(bytes), |this| this.to_be_bytes();
    u32, 4: |bytes| u32::from_be_bytes(bytes), |this| this.to_be_bytes();
    Swapped, 2: |bytes| Self(u16::from_le_bytes(bytes)), |this| this.0.to_le_bytes();
    Ipv4Addr, 4: |bytes| Self::from(bytes), |this| this.octets();
    Ipv6Addr, 16: |bytes| Self::from(bytes), |this| this.octets();
}

/// Two or more values of the same type, for example source and destination.
impl<T: Value + Copy, const COUNT: usize> Value for [T; COUNT] {
    fn read(payload: &[u8]) -> Option<Self> {
        let size = payload.len() / COUNT;
        let mut parts = payload.chunks_exact(size.max(1)).map_while(T::read);
        let first = parts.next().filter(|_| size * COUNT == payload.len())?;
        // A part that is not valid ends the iterator for all parts, because they have the same size.
        Some(std::array::from_fn(|place| if place == 0 { first } else { parts.next().unwrap_or(first) }))
    }

    fn write(&self, payload: &mut Vec<u8>) {
        self.iter().for_each(|part| part.write(payload));
    }
}

/// Calls `attribute` with the number and the payload of each attribute, in conntrackd's manner: it stops if no more than a
/// header is left, and the last attribute may lack its padding.
fn walk(mut rest: &[u8], mut attribute: impl FnMut(u16, &[u8]) -> Option<()>) -> Result<(), Malformed> {
    while rest.len() > HEADER {
        let Some((&[l0, l1, n0, n1], _)) = rest.split_first_chunk::<HEADER>() else { break };
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        let payload = rest.get(HEADER..length).ok_or(Malformed::Payload)?;
        attribute(u16::from_be_bytes([n0, n1]), payload).ok_or(Malformed::Payload)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(())
}

/// Appends an attribute.
#[allow(clippy::expect_used, reason = "the longest value is 1,024 bytes")]
fn append(encoded: &mut Vec<u8>, number: u16, value: &impl Value) {
    let begin = encoded.len();
    encoded.extend([0; 2]);
    encoded.extend(number.to_be_bytes());
    value.write(encoded);
    let length = u16::try_from(encoded.len() - begin).expect("a short attribute");
    if let Some(place) = encoded.get_mut(begin..begin + 2) {
        place.copy_from_slice(&length.to_be_bytes());
    }
    encoded.resize(encoded.len().next_multiple_of(4), 0);
}

/// Declares a record. Rows are in the order in which conntrackd sends the attributes, with their types on the wire.
macro_rules! record {
    ($(#[$meta:meta])* $record:ident { $($(#[$doc:meta])* $number:literal $field:ident: $value:ty;)* }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        #[allow(clippy::exhaustive_structs, reason = "the protocol cannot be extended")]
        pub struct $record { $($(#[$doc])* pub $field: Option<$value>,)* }

        impl $record {
            /// Reads attributes. Of an attribute that is sent twice, the last one counts.
            ///
            /// # Errors
            ///
            /// [`Malformed::Payload`] if an attribute is unknown or has a wrong length.
            pub fn decode(attributes: &[u8]) -> Result<Self, Malformed> {
                let mut record = Self::default();
                record.merge(attributes)?;
                Ok(record)
            }

            /// Overwrites the attributes of the record that are among these, as an update does.
            ///
            /// # Errors
            ///
            /// Fails like [`decode`](Self::decode). The attributes before the malformed one are overwritten.
            pub fn merge(&mut self, attributes: &[u8]) -> Result<(), Malformed> {
                walk(attributes, |number, payload| {
                    match number {
                        $($number => self.$field = Some(<$value>::read(payload)?),)*
                        _ => return None,
                    }
                    Some(())
                })
            }

            /// Returns the attributes, in conntrackd's order.
            #[must_use]
            pub fn encode(&self) -> Vec<u8> {
                let mut attributes = Vec::with_capacity(128);
                $(if let Some(value) = &self.$field {
                    append(&mut attributes, $number, value);
                })*
                attributes
            }
        }
    };
}

record! {
    /// A flow.
    FlowRecord {
        /// Source and destination of the original direction.
        0 ipv4: [Ipv4Addr; 2];
        /// Source and destination of the original direction.
        1 ipv6: [Ipv6Addr; 2];
        /// Status bits.
        5 status: u32;
        /// Layer 4 protocol.
        2 protocol: u8;
        /// Source and destination port of the original direction: TCP, UDP, SCTP, DCCP.
        3 ports: [u16; 2];
        /// The TCP state.
        4 tcp_state: u8;
        /// The window scale of the initiator.
        25 tcp_window_scale_original: u8;
        /// The window scale of the responder.
        26 tcp_window_scale_reply: u8;
        /// The SCTP state.
        17 sctp_state: u8;
        /// The verification tag of the initiator.
        18 sctp_tag_original: u32;
        /// The verification tag of the responder.
        19 sctp_tag_reply: u32;
        /// The DCCP state.
        20 dccp_state: u8;
        /// The DCCP role.
        21 dccp_role: u8;
        /// The ICMP type of the original direction.
        22 icmp_type: u8;
        /// The ICMP code.
        23 icmp_code: u8;
        /// The ICMP identifier.
        24 icmp_id: Swapped;
        /// Seconds until the flow ends, at the time of the event.
        6 timeout: u32;
        /// The mark.
        7 mark: u32;
        /// Source and destination of the master's original direction.
        8 master_ipv4: [Ipv4Addr; 2];
        /// Source and destination of the master's original direction.
        9 master_ipv6: [Ipv6Addr; 2];
        /// The master's layer 4 protocol.
        10 master_protocol: u8;
        /// The master's ports.
        11 master_ports: [u16; 2];
        /// The address that the source is translated to.
        12 snat_ipv4: Ipv4Addr;
        /// The address that the source is translated to.
        29 snat_ipv6: Ipv6Addr;
        /// The address that the destination is translated to.
        13 dnat_ipv4: Ipv4Addr;
        /// The address that the destination is translated to.
        30 dnat_ipv6: Ipv6Addr;
        /// The port that the source is translated to. Noise for ICMP.
        14 snat_port: Swapped;
        /// The port that the destination is translated to. Noise for ICMP.
        15 dnat_port: Swapped;
        /// The shift of sequence numbers: position, offset before and after, for each direction.
        16 sequence_adjustment: [u32; 6];
        /// The helper's name.
        27 helper: Bytes<12>;
        /// Label bits: words of 32 bits, the first with the bits 0 to 31.
        28 labels: Bytes<1024>;
        /// The SYN proxy's initial sequence number, initial timestamp and timestamp offset.
        31 synproxy: [u32; 3];
        /// The zone.
        32 zone: u16;
    }
}

record! {
    /// An expectation.
    ExpectationRecord {
        /// Source and destination of the master.
        0 master_ipv4: [Ipv4Addr; 2];
        /// Source and destination of the master.
        1 master_ipv6: [Ipv6Addr; 2];
        /// The master's layer 4 protocol.
        2 master_protocol: u8;
        /// The master's ports.
        3 master_ports: [u16; 2];
        /// Source and destination of the expected flow.
        4 expected_ipv4: [Ipv4Addr; 2];
        /// Source and destination of the expected flow.
        5 expected_ipv6: [Ipv6Addr; 2];
        /// The expected flow's layer 4 protocol.
        6 expected_protocol: u8;
        /// The expected flow's ports.
        7 expected_ports: [u16; 2];
        /// The bits of the addresses that count.
        8 mask_ipv4: [Ipv4Addr; 2];
        /// The bits of the addresses that count.
        9 mask_ipv6: [Ipv6Addr; 2];
        /// The layer 4 protocol of the mask.
        10 mask_protocol: u8;
        /// The bits of the ports that count.
        11 mask_ports: [u16; 2];
        /// Seconds until the expectation ends.
        12 timeout: u32;
        /// Flags.
        13 flags: u32;
        /// The class within its helper.
        14 class: u32;
        /// Addresses that the expected flow is translated to.
        15 nat_ipv4: [Ipv4Addr; 2];
        /// The layer 4 protocol of the translation.
        17 nat_protocol: u8;
        /// Ports that the expected flow is translated to.
        16 nat_ports: [u16; 2];
        /// The direction that is translated.
        18 nat_direction: u32;
        /// The helper's name.
        19 helper: Bytes<12>;
        /// The name of the function that sets up the expected flow.
        20 function: Bytes<28>;
    }
}
