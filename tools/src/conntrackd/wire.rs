//! Datagrams: messages one after the other, each with a header.

/// The length of a header without a range.
pub const HEADER: usize = 8;
/// The length of a header with a range.
const LONG_HEADER: usize = 16;
/// The version in the high nibble of the first byte.
const VERSION: u8 = 0x10;
/// The type of control messages.
const CONTROL: u8 = 10;

const RESYNC: u8 = 0x02;
const NACK: u8 = 0x04;
const ACK: u8 = 0x08;
const ALIVE: u8 = 0x10;
const HELLO: u8 = 0x20;
const HELLO_BACK: u8 = 0x40;

/// The change of a flow or an expectation that a message reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::exhaustive_enums, reason = "the protocol cannot be extended")]
pub enum Kind {
    /// It is new, and replaces the receiver's entry.
    New,
    /// It changed. Attributes that are not sent have not changed.
    Update,
    /// It ended.
    Delete,
}

/// Numbers of messages, both ends included. They wrap around at 2³².
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_structs, reason = "the protocol cannot be extended")]
pub struct Range {
    /// The first number.
    pub from: u32,
    /// The last number.
    pub to: u32,
}

/// The part of a message after its sequence number. `A` is the type of encoded attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "the protocol cannot be extended")]
pub enum Body<A> {
    /// A flow.
    Flow(Kind, A),
    /// An expectation.
    Expectation(Kind, A),
    /// The messages of the range arrived (ACK).
    Acknowledge(Range),
    /// The messages of the range did not arrive (NACK).
    Missing(Range),
    /// A request for the whole table (RESYNC).
    Resync,
    /// A keep-alive.
    Alive,
}

impl<A> Body<A> {
    /// Returns whether the message is about a flow or an expectation.
    #[must_use]
    pub const fn is_data(&self) -> bool {
        matches!(self, Self::Flow(..) | Self::Expectation(..))
    }
}

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "the protocol cannot be extended")]
pub struct Message<A> {
    /// Its number. Data and control messages share one counter.
    pub sequence: u32,
    /// Whether the sender has just started, and waits for an answer.
    pub hello: bool,
    /// Whether the message answers the other side's hello.
    pub hello_back: bool,
    /// The content.
    pub body: Body<A>,
}

/// Why a message was not read. conntrackd counts the same errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums, reason = "the errors that conntrackd counts")]
pub enum Malformed {
    /// The rest of the datagram is shorter than a header.
    Truncated,
    /// The length is shorter than the header or longer than the datagram. The rest of the datagram is lost.
    Size,
    /// The version is not 1.
    Version,
    /// The type or the flags are unknown. A hello in such a message still counts.
    Header {
        /// Whether the message has the flag HELLO.
        hello: bool,
    },
    /// The attributes are malformed.
    Payload,
}

/// An iterator over the messages of a datagram.
///
/// Every item takes at least a header's length of the datagram, or is the last.
#[derive(Clone, Debug)]
pub struct Messages<'a> {
    rest: &'a [u8],
}

impl<'a> Messages<'a> {
    /// Reads a datagram.
    #[must_use]
    pub const fn new(datagram: &'a [u8]) -> Self {
        Self { rest: datagram }
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<&'a [u8]>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let rest = std::mem::take(&mut self.rest);
        let Some((&[first, flags, l0, l1, s0, s1, s2, s3], body)) = rest.split_first_chunk::<HEADER>() else {
            return Some(Err(Malformed::Truncated));
        };
        let Some(body) = usize::from(u16::from_be_bytes([l0, l1])).checked_sub(HEADER).and_then(|len| body.get(..len))
        else {
            return Some(Err(Malformed::Size));
        };
        let kind = first & 0x0f;
        let range = if kind == CONTROL && flags & (ACK | NACK | RESYNC) != 0 {
            let Some(range) = read_range(body) else { return Some(Err(Malformed::Size)) };
            range
        } else {
            Range { from: 0, to: 0 }
        };
        self.rest = rest.get(HEADER + body.len()..).unwrap_or_default();
        if first & 0xf0 != VERSION {
            return Some(Err(Malformed::Version));
        }
        let (hello, hello_back) = (flags & HELLO != 0, flags & HELLO_BACK != 0);
        let sequence = u32::from_be_bytes([s0, s1, s2, s3]);
        let body = read_body(kind, flags, range, body);
        Some(body.map(|body| Message { sequence, hello, hello_back, body }).ok_or(Malformed::Header { hello }))
    }
}

fn read_range(body: &[u8]) -> Option<Range> {
    let (&[f0, f1, f2, f3, t0, t1, t2, t3], _) = body.split_first_chunk::<{ LONG_HEADER - HEADER }>()?;
    Some(Range { from: u32::from_be_bytes([f0, f1, f2, f3]), to: u32::from_be_bytes([t0, t1, t2, t3]) })
}

fn read_body(kind: u8, flags: u8, range: Range, attributes: &[u8]) -> Option<Body<&[u8]>> {
    let kinds = [Kind::New, Kind::Update, Kind::Delete];
    match kind {
        0..=5 if flags & !(HELLO | HELLO_BACK) == 0 => {
            let change = *kinds.get(usize::from(kind % 3))?;
            Some(if kind < 3 { Body::Flow(change, attributes) } else { Body::Expectation(change, attributes) })
        }
        // If several flags are set, conntrackd looks at them in this order.
        CONTROL if flags & ACK != 0 => Some(Body::Acknowledge(range)),
        CONTROL if flags & NACK != 0 => Some(Body::Missing(range)),
        CONTROL if flags & RESYNC != 0 => Some(Body::Resync),
        CONTROL if flags & ALIVE != 0 => Some(Body::Alive),
        _ => None,
    }
}

impl<A: AsRef<[u8]>> Message<A> {
    /// Returns the length of the encoded message.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        match &self.body {
            Body::Flow(_, attributes) | Body::Expectation(_, attributes) => HEADER + attributes.as_ref().len(),
            Body::Acknowledge(_) | Body::Missing(_) | Body::Resync => LONG_HEADER,
            Body::Alive => HEADER,
        }
    }

    /// Appends the message to a datagram.
    ///
    /// # Panics
    ///
    /// Panics if the attributes are longer than 65,527 bytes. The attributes of a record never are.
    #[allow(clippy::expect_used, reason = "documented")]
    pub fn encode(&self, datagram: &mut Vec<u8>) {
        let hellos = if self.hello { HELLO } else { 0 } | if self.hello_back { HELLO_BACK } else { 0 };
        let (kind, flags) = match self.body {
            Body::Flow(kind, _) => (kind as u8, 0),
            Body::Expectation(kind, _) => (kind as u8 + 3, 0),
            Body::Acknowledge(_) => (CONTROL, ACK),
            Body::Missing(_) => (CONTROL, NACK),
            Body::Resync => (CONTROL, RESYNC),
            Body::Alive => (CONTROL, ALIVE),
        };
        let length = u16::try_from(self.encoded_len()).expect("a message of at most 65,535 bytes");
        datagram.extend([VERSION | kind, hellos | flags]);
        datagram.extend(length.to_be_bytes());
        datagram.extend(self.sequence.to_be_bytes());
        match &self.body {
            Body::Flow(_, attributes) | Body::Expectation(_, attributes) => datagram.extend(attributes.as_ref()),
            Body::Acknowledge(range) | Body::Missing(range) => {
                datagram.extend(range.from.to_be_bytes());
                datagram.extend(range.to.to_be_bytes());
            }
            Body::Resync => datagram.extend([0; LONG_HEADER - HEADER]),
            Body::Alive => {}
        }
    }
}
