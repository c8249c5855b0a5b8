//! `/proc/net/nf_conntrack_expect`: the flows that helpers expect.

use core::fmt;

use super::{
    LONGEST_LINE, LineError,
    error::Expected,
    fields::{AddressPair, Field, FieldTuple, family_ahead},
    line::{self, Lossy},
    parse::{event_prefix, without_line_end},
    scan::Cursor,
};
use crate::model::{EventKind, Expectation, ExpectationFlags, Family, Protocol, Timestamp, Tuple};

/// One line of `/proc/net/nf_conntrack_expect`, or of `conntrack -L expect` and `-E expect`.
///
/// [`Display`](fmt::Display) prints the values in the kernel's form. A line of the kernel prints as the same bytes.
///
/// Source: `exp_seq_show` in `net/netfilter/nf_conntrack_expect.c`.
///
/// # Example
///
/// ```
/// use ctnetlink::{ExpectationFlags, Protocol, proc::ExpectationLine};
///
/// let text = b"179 l3proto = 2 proto=17 src=10.0.0.2 dst=10.0.0.1 sport=0 dport=4012 INACTIVE sip/audio";
/// let line = ExpectationLine::parse(text)?;
/// assert_eq!((line.protocol(), line.tuple().destination_port()), (Protocol::UDP, Some(4012)));
/// assert_eq!(line.flags(), ExpectationFlags::INACTIVE);
/// assert_eq!((line.helper(), line.class_name()), (Some("sip"), Some("audio")));
/// assert_eq!(line.to_string().as_bytes(), text);
/// # Ok::<(), ctnetlink::proc::LineError>(())
/// ```
#[derive(Clone, Copy)]
pub struct ExpectationLine<'a> {
    bytes: &'a [u8],
    event: Option<EventKind>,
    event_time: Option<Timestamp>,
    timeout: Option<u32>,
    layer3: Option<Family>,
    family: Family,
    protocol: Protocol,
    tuple: FieldTuple,
    mask: Option<FieldTuple>,
    master: Option<FieldTuple>,
    flags: ExpectationFlags,
    helper: Option<&'a [u8]>,
    class: Option<u32>,
    class_name: Option<&'a [u8]>,
    zone: Option<u16>,
}

impl<'a> ExpectationLine<'a> {
    /// Reads a line, with or without its line end.
    ///
    /// # Errors
    ///
    /// Fails if the line is longer than [`LONGEST_LINE`], lacks the protocol or the tuple, or has a known field whose value
    /// is malformed.
    pub fn parse(line: &'a [u8]) -> Result<Self, LineError> {
        let bytes = without_line_end(line);
        if bytes.len() > LONGEST_LINE {
            return Err(LineError::too_long());
        }
        let mut cursor = Cursor::new(bytes);
        Self::read(bytes, &mut cursor)
            .map_err(|expected| LineError::new(expected, bytes, bytes.len() - cursor.rest().len()))
    }

    fn read(bytes: &'a [u8], cursor: &mut Cursor<'a>) -> Result<Self, Expected> {
        let (event, event_time) = event_prefix(cursor)?;
        let timeout = read_timeout(cursor)?;
        cursor.skip_blanks();
        let layer3 = if cursor.eat(b"l3proto = ") { Some(Family(cursor.number(Expected::U8)?)) } else { None };
        cursor.skip_blanks();
        cursor.expect(b"proto=", Expected::Layer4)?;
        let protocol = Protocol(cursor.number(Expected::U8)?);
        cursor.expect_next(b"src=", Expected::Tuple)?;
        let family = match layer3 {
            Some(family @ (Family::IPV4 | Family::IPV6)) => family,
            _ => family_ahead(cursor),
        };
        let mut tuple = FieldTuple::NONE;
        tuple.read(cursor, family, AddressPair::NONE)?;
        let mut line = Self {
            bytes,
            event,
            event_time,
            timeout,
            layer3,
            family,
            protocol,
            tuple,
            mask: None,
            master: None,
            flags: ExpectationFlags::empty(),
            helper: None,
            class: None,
            class_name: None,
            zone: None,
        };
        loop {
            cursor.skip_blanks();
            if cursor.is_at_end() {
                return Ok(line);
            }
            line.read_field(cursor)?;
        }
    }

    fn read_field(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Expected> {
        let mut ends = FieldTuple::NONE;
        if cursor.eat(b"mask-src=") {
            ends.read_addresses(cursor, self.family, b"mask-dst=", AddressPair::NONE)?;
            ends.read_layer4(cursor)?;
            self.mask = Some(ends);
        } else if cursor.eat(b"master-src=") {
            ends.read_addresses(cursor, self.family, b"master-dst=", AddressPair::NONE)?;
            ends.read_layer4(cursor)?;
            self.master = Some(ends);
        } else if cursor.eat(b"class=") {
            self.class = Some(cursor.number(Expected::U32)?);
            cursor.separate()?;
        } else if cursor.eat(b"zone=") {
            self.zone = Some(cursor.number(Expected::U16)?);
            cursor.separate()?;
        } else {
            match cursor.field() {
                Field::Value { key: b"helper", value } => self.helper = Some(value),
                Field::Word(word) => self.read_word(word),
                _ => {}
            }
        }
        Ok(())
    }

    /// A word is the flags, or the helper and its class.
    fn read_word(&mut self, word: &'a [u8]) {
        let flags = word.split(|byte| *byte == b',').try_fold(ExpectationFlags::empty(), |flags, name| {
            Some(flags | ExpectationFlags::from_name(core::str::from_utf8(name).ok()?)?)
        });
        match flags {
            Some(flags) => self.flags = flags,
            None => {
                let mut parts = word.splitn(2, |byte| *byte == b'/');
                self.helper = parts.next();
                self.class_name = parts.next();
            }
        }
    }

    /// Returns the line itself, without its line end.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Returns the kind of the event, for a line of `conntrack -E expect`.
    #[must_use]
    pub const fn event(&self) -> Option<EventKind> {
        self.event
    }

    /// Returns when the event was read (`conntrack -E expect -o timestamp`).
    #[must_use]
    pub const fn event_time(&self) -> Option<Timestamp> {
        self.event_time
    }

    /// Returns the seconds until the expectation ends. `None` if the line contains `-`, which the kernel prints for a helper
    /// without timeouts, or no timeout at all.
    #[must_use]
    pub const fn timeout(&self) -> Option<u32> {
        self.timeout
    }

    /// Returns the layer 4 protocol.
    #[must_use]
    pub const fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Returns the tuple of the expected flow.
    #[must_use]
    pub fn tuple(&self) -> Tuple {
        self.tuple.tuple(self.family, self.protocol, None)
    }

    /// Returns the bits of the tuple that have to match. `None` in the kernel's file.
    #[must_use]
    pub fn mask(&self) -> Option<Tuple> {
        self.mask.map(|mask| mask.tuple(self.family, self.protocol, None))
    }

    /// Returns the original tuple of the flow whose helper expects it. `None` in the kernel's file.
    ///
    /// The line does not contain its protocol. It is assumed to be the protocol of the expected flow.
    #[must_use]
    pub fn master(&self) -> Option<Tuple> {
        self.master.map(|master| master.tuple(self.family, self.protocol, None))
    }

    /// Returns the flags.
    #[must_use]
    pub const fn flags(&self) -> ExpectationFlags {
        self.flags
    }

    /// Returns the name of the helper. `None` if it is not UTF-8.
    #[must_use]
    pub fn helper(&self) -> Option<&'a str> {
        core::str::from_utf8(self.helper?).ok()
    }

    /// Returns the number of the helper's class, which `conntrack` prints.
    #[must_use]
    pub const fn class(&self) -> Option<u32> {
        self.class
    }

    /// Returns the name of the helper's class, which the kernel's file contains if the class has one. `None` if it is not
    /// UTF-8.
    #[must_use]
    pub fn class_name(&self) -> Option<&'a str> {
        core::str::from_utf8(self.class_name?).ok()
    }

    /// Returns the zone, which `conntrack` prints.
    #[must_use]
    pub const fn zone(&self) -> Option<u16> {
        self.zone
    }

    /// Copies the expectation into a value. `None` without a mask and a master, which the kernel's file lacks.
    #[must_use]
    pub fn to_expectation(&self) -> Option<Expectation> {
        let mut expectation = Expectation::new(self.master()?, self.tuple(), self.mask()?);
        expectation.timeout = self.timeout;
        expectation.helper = self.helper.map(|name| String::from_utf8_lossy(name).into());
        expectation.flags = Some(self.flags);
        expectation.class = self.class;
        expectation.zone = self.zone;
        Some(expectation)
    }
}

/// A missing timeout is a dash, or nothing at all.
fn read_timeout(cursor: &mut Cursor<'_>) -> Result<Option<u32>, Expected> {
    if cursor.starts_with(b"proto=") {
        return Ok(None);
    }
    let timeout = if cursor.eat(b"-") { None } else { Some(cursor.number(Expected::U32)?) };
    cursor.separate()?;
    Ok(timeout)
}

impl fmt::Display for ExpectationLine<'_> {
    /// Prints the values in the order and form of the kernel's file, without a line end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.timeout {
            Some(timeout) => write!(f, "{timeout}")?,
            None => f.write_str("-")?,
        }
        write!(f, " l3proto = {} proto={}", self.layer3.unwrap_or(self.family).0, self.protocol.0)?;
        line::print_tuple(f, &self.tuple())?;
        // The kernel prints a space after the tuple, even at the end of the line, and one between flags and helper.
        f.write_str(" ")?;
        let mut separator = "";
        if !self.flags.is_empty() {
            write!(f, "{}", self.flags)?;
            separator = " ";
        }
        if let Some(helper) = self.helper {
            write!(f, "{separator}{}", Lossy(helper))?;
        }
        if let Some(class) = self.class_name {
            write!(f, "/{}", Lossy(class))?;
        }
        Ok(())
    }
}

impl fmt::Debug for ExpectationLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExpectationLine({})", self.bytes.escape_ascii())
    }
}
