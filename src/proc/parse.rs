//! The parser of a line.
//!
//! A line is a header without keys (protocols, timeout, state) and then fields: `key=value`, `[FLAG]`, or a word. The plain
//! way to read the fields would be to iterate over [`Fields`](super::Fields) and match each key as text; the tests hold the
//! parser to that iterator. Two things make this parser faster:
//!
//! - **A field is chosen by a packed key.** [`Cursor::key`] loads the next eight bytes as one integer, so the choice is one
//!   comparison of integers for each known key; comparing text takes 14 % more instructions for a line. [`key`] holds the
//!   known keys in that form. A key of more than seven bytes shares its first eight bytes with others, so its arm compares
//!   the whole key before it takes the field.
//! - **A group is read at once.** The two addresses and the ports of a tuple always follow each other, and so do packets
//!   and bytes. The parser reads a whole group when it meets its first key. The other keys of a group
//!   ([`is_of_a_group`]) are errors anywhere else.

use super::{
    LONGEST_LINE, LineError,
    error::Expected,
    fields::{AddressPair, Field, family_ahead},
    line::{GreTimeouts, Line},
    scan::{Cursor, pack},
};
use crate::model::{Counters, Direction, EventKind, Family, Layer4, Protocol, Status, Timestamp};

impl<'a> Line<'a> {
    /// Reads a line, with or without its line end.
    ///
    /// Fields may stand in any order after the original tuple. If a field is repeated, the last one counts. Unknown
    /// fields are skipped, and remain available from [`unknown`](Self::unknown).
    ///
    /// # Errors
    ///
    /// Fails if the line is longer than [`LONGEST_LINE`], lacks the protocol or one of the tuples, or has a known field
    /// whose value is malformed.
    #[inline]
    pub fn parse(line: &'a [u8]) -> Result<Self, LineError> {
        // The line is filled in where it is returned: a copy would stall on every field that was just stored.
        let mut result = Ok(Self::empty());
        if let Ok(parsed) = &mut result {
            if let Err(error) = parse_into(parsed, line) {
                result = Err(error);
            }
        }
        result
    }
}

/// Reads `text` into an empty line.
fn parse_into<'a>(line: &mut Line<'a>, text: &'a [u8]) -> Result<(), LineError> {
    let text = without_line_end(text);
    if text.len() > LONGEST_LINE {
        return Err(LineError::too_long());
    }
    line.bytes = text;
    let mut parser = LineParser { cursor: Cursor::new(text), direction: None, seen: AddressPair::NONE };
    match parser.read(line) {
        Ok(()) => Ok(()),
        Err(expected) => Err(LineError::new(expected, text, text.len() - parser.cursor.rest().len())),
    }
}

#[inline]
pub(super) fn without_line_end(text: &[u8]) -> &[u8] {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    text.strip_suffix(b"\r").unwrap_or(text)
}

struct LineParser<'a> {
    cursor: Cursor<'a>,
    /// The direction of the last tuple. `None` before the first tuple.
    direction: Option<Direction>,
    /// The addresses of the last tuple.
    seen: AddressPair<'a>,
}

/// On failure, the cursor is at the place of the error.
type FieldResult = Result<(), Expected>;

impl<'a> LineParser<'a> {
    #[inline(always)]
    fn read(&mut self, line: &mut Line<'a>) -> FieldResult {
        self.prefix(line)?;
        self.header(line)?;
        line.fields_at = line.bytes.len() - self.cursor.rest().len();
        while !self.cursor.is_at_end() {
            self.field(line)?;
        }
        match self.direction {
            Some(Direction::Reply) if is_alike(line.original.layer4, line.reply.layer4) => Ok(()),
            Some(Direction::Reply) => Err(Expected::ReplyKeys),
            Some(Direction::Original) => Err(Expected::Reply),
            None => Err(Expected::Original),
        }
    }

    /// Reads the time and the event, which `conntrack -E` prints before an entry.
    #[inline(always)]
    fn prefix(&mut self, line: &mut Line<'a>) -> FieldResult {
        match self.cursor.peek() {
            Some(b' ' | b'\t' | b'[') => self.event(line),
            _ => Ok(()),
        }
    }

    #[inline(never)]
    fn event(&mut self, line: &mut Line<'a>) -> FieldResult {
        let (event, time) = event_prefix(&mut self.cursor)?;
        line.event = event;
        line.event_time = time;
        Ok(())
    }

    /// Reads protocols, timeout and state, which have no key.
    #[inline(always)]
    fn header(&mut self, line: &mut Line<'a>) -> FieldResult {
        let (mut name, mut number) = self.named_number()?;
        // With another number it is the name of a layer 4 protocol: /etc/protocols calls 41 `ipv6`.
        let is_layer3 = match (name, number) {
            (b"ipv4", 2) | (b"ipv6", 10) => true,
            (b"ipv4" | b"ipv6" | b"unknown", _) => self.is_at_named_number(),
            _ => false,
        };
        if is_layer3 {
            line.layer3 = Some(Family(number));
            (name, number) = self.named_number()?;
        }
        line.protocol = Protocol(number);
        line.protocol_name = name;
        if self.cursor.begins(u8::is_ascii_digit) {
            line.timeout = Some(self.number(Expected::U32)?);
        }
        if self.cursor.begins(u8::is_ascii_uppercase) {
            line.state = Some(self.cursor.word());
            self.cursor.separate()?;
        }
        Ok(())
    }

    /// Reads `%-8s %u `.
    #[inline(always)]
    fn named_number(&mut self) -> Result<(&'a [u8], u8), Expected> {
        if !self.cursor.begins(u8::is_ascii_alphabetic) {
            return Err(Expected::Protocol);
        }
        let name = self.cursor.padded_word();
        Ok((name, self.number(Expected::U8)?))
    }

    /// Returns true if another name and number follow, so those just read were of layer 3.
    fn is_at_named_number(&self) -> bool {
        let mut ahead = self.cursor;
        let name = ahead.word();
        ahead.skip_blanks();
        !name.contains(&b'=') && ahead.peek().is_some_and(|byte| byte.is_ascii_digit())
    }

    #[inline(always)]
    fn field(&mut self, line: &mut Line<'a>) -> FieldResult {
        let (key, length) = self.cursor.key();
        match key {
            key::SOURCE => self.tuple(line),
            key::PACKETS => self.counters(line),
            key::MARK => self.set(&mut line.mark, length, Expected::U32),
            key::USE => self.set(&mut line.use_count, length, Expected::U32),
            key::ZONE => self.set(&mut line.zone, length, Expected::U16),
            key::DELTA_TIME if self.cursor.starts_with(b"delta-time=") => {
                self.set(&mut line.delta_time, b"delta-time".len(), Expected::U64)
            }
            key::ZONE_ORIGINAL if self.cursor.starts_with(b"zone-orig=") => {
                self.set(&mut line.zone_original, b"zone-orig".len(), Expected::U16)
            }
            key::ZONE_REPLY if self.cursor.starts_with(b"zone-reply=") => {
                self.set(&mut line.zone_reply, b"zone-reply".len(), Expected::U16)
            }
            key::ASSURED if self.cursor.eat(b"[ASSURED]") => {
                line.status |= Status::ASSURED;
                self.cursor.separate()
            }
            key::UNREPLIED if self.cursor.eat(b"[UNREPLIED]") => {
                line.status -= Status::SEEN_REPLY;
                self.cursor.separate()
            }
            key::ID => self.set(&mut line.id, length, Expected::U32),
            key::SECMARK => self.set(&mut line.secmark, length, Expected::U32),
            key::PORT_ID => self.set(&mut line.port_id, length, Expected::U32),
            key::TIMEOUT => self.gre_timeouts(line),
            _ => self.other(line),
        }
    }

    /// Reads the number after a key of `length` bytes and its equals sign.
    #[inline(always)]
    fn set<T: TryFrom<u64> + From<u8>>(
        &mut self,
        value: &mut Option<T>,
        length: usize,
        expected: Expected,
    ) -> FieldResult {
        self.cursor.skip(length + 1);
        *value = Some(self.number(expected)?);
        Ok(())
    }

    #[inline(always)]
    fn number<T: TryFrom<u64> + From<u8>>(&mut self, expected: Expected) -> Result<T, Expected> {
        let number = self.cursor.number(expected)?;
        self.cursor.separate()?;
        Ok(number)
    }

    #[inline(always)]
    fn tuple(&mut self, line: &mut Line<'a>) -> FieldResult {
        let (direction, ends) = match self.direction {
            None => (Direction::Original, &mut line.original),
            Some(Direction::Original) => (Direction::Reply, &mut line.reply),
            Some(Direction::Reply) => return Err(Expected::TwoTuples),
        };
        self.cursor.skip(b"src=".len());
        if direction == Direction::Original {
            line.family = match line.layer3 {
                Some(family @ (Family::IPV4 | Family::IPV6)) => family,
                _ => family_ahead(&self.cursor),
            };
        }
        self.direction = Some(direction);
        self.seen = ends.read(&mut self.cursor, line.family, self.seen)?;
        Ok(())
    }

    /// Reads packets and bytes of the tuple before them.
    #[inline(always)]
    fn counters(&mut self, line: &mut Line<'a>) -> FieldResult {
        let counters = match self.direction {
            None => return Err(Expected::Original),
            Some(Direction::Original) => &mut line.counters_original,
            Some(Direction::Reply) => &mut line.counters_reply,
        };
        self.cursor.skip(b"packets=".len());
        let packets = self.cursor.number(Expected::U64)?;
        self.cursor.expect_next(b"bytes=", Expected::Bytes)?;
        *counters = Some(Counters { packets, bytes: self.number(Expected::U64)? });
        Ok(())
    }

    /// Reads `timeout=30, stream_timeout=180`.
    #[inline(never)]
    fn gre_timeouts(&mut self, line: &mut Line<'a>) -> FieldResult {
        self.cursor.skip(b"timeout=".len());
        let unreplied = self.cursor.number(Expected::U32)?;
        let mut ahead = self.cursor;
        ahead.expect(b",", Expected::StreamTimeout)?;
        ahead.expect_next(b"stream_timeout=", Expected::StreamTimeout)?;
        self.cursor = ahead;
        line.gre_timeouts = Some(GreTimeouts { unreplied, replied: self.number(Expected::U32)? });
        Ok(())
    }

    /// Reads fields that are rare, text or unknown, and skips additional blanks.
    #[inline(never)]
    fn other(&mut self, line: &mut Line<'a>) -> FieldResult {
        match self.cursor.peek() {
            Some(b'[') => return self.flag(line),
            Some(b' ' | b'\t') => {
                self.cursor.skip_blanks();
                return Ok(());
            }
            _ => {}
        }
        let before = self.cursor;
        match self.cursor.field() {
            Field::Value { key: b"secctx", value } => line.security_context = Some(value),
            Field::Value { key: b"helper", value } => line.helper = Some(value),
            Field::Value { key: b"labels", value } => line.labels = Some(value),
            Field::Value { key: b"progname", value } => line.program = Some(value),
            // The tool prints this if none of the labels has a name.
            Field::Word(b"labels") => line.labels = Some(&[]),
            Field::Value { key, .. } if is_of_a_group(key) => {
                self.cursor = before;
                return Err(Expected::Order);
            }
            _ => {}
        }
        Ok(())
    }

    fn flag(&mut self, line: &mut Line<'a>) -> FieldResult {
        let flag = bracketed(&mut self.cursor)?;
        match flag {
            b"OFFLOAD" => line.status |= Status::OFFLOAD,
            b"HW_OFFLOAD" => line.status |= Status::HW_OFFLOAD,
            _ => match (flag.strip_prefix(b"start="), flag.strip_prefix(b"stop=")) {
                (Some(start), _) => line.start = Some(start),
                (_, Some(stop)) => line.stop = Some(stop),
                _ => {}
            },
        }
        self.cursor.separate()
    }
}

/// Returns true if the field belongs to a group and follows the field before it, so it means nothing elsewhere.
fn is_of_a_group(key: &[u8]) -> bool {
    let groups: [&[u8]; 9] =
        [b"dst", b"sport", b"dport", b"type", b"code", b"srckey", b"dstkey", b"bytes", b"stream_timeout"];
    groups.contains(&key)
}

/// Returns true if both tuples have the same kind of ports, keys or query.
#[inline(always)]
fn is_alike(original: Layer4, reply: Layer4) -> bool {
    core::mem::discriminant(&original) == core::mem::discriminant(&reply)
}

/// Takes the next field, which is in brackets, and returns its text.
pub(super) fn bracketed<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], Expected> {
    cursor.skip(1);
    let text = cursor.until(|byte| byte == b']');
    cursor.expect(b"]", Expected::Bracket)?;
    Ok(text)
}

/// Takes the time and the event that `conntrack -E` prints before an entry.
pub(super) fn event_prefix(cursor: &mut Cursor<'_>) -> Result<(Option<EventKind>, Option<Timestamp>), Expected> {
    let (mut event, mut time) = (None, None);
    cursor.skip_blanks();
    if cursor.starts_with(b"[") && cursor.rest().get(1).is_some_and(u8::is_ascii_digit) {
        cursor.skip(1);
        time = Some(event_time(cursor)?);
        cursor.expect(b"]", Expected::EventTime)?;
        cursor.skip_blanks();
    }
    if cursor.peek() == Some(b'[') {
        let before = *cursor;
        event = match bracketed(cursor)? {
            b"NEW" => Some(EventKind::New),
            b"UPDATE" => Some(EventKind::Update),
            b"DESTROY" => Some(EventKind::Destroy),
            _ => {
                *cursor = before;
                return Err(Expected::Event);
            }
        };
        cursor.skip_blanks();
    }
    Ok((event, time))
}

/// Reads seconds and a fraction of up to nine digits.
fn event_time(cursor: &mut Cursor<'_>) -> Result<Timestamp, Expected> {
    let before = *cursor;
    let seconds: u64 = cursor.number(Expected::EventTime)?;
    cursor.expect(b".", Expected::EventTime)?;
    let digits = cursor.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
    let unit = (digits <= 9).then(|| 10_u64.pow(9 - digits as u32)).ok_or(Expected::EventTime)?;
    let nanoseconds = unit * u64::from(cursor.number::<u32>(Expected::EventTime)?);
    let whole = seconds.checked_mul(1_000_000_000).and_then(|whole| whole.checked_add(nanoseconds));
    whole.map(Timestamp).ok_or_else(|| {
        *cursor = before;
        Expected::EventTime
    })
}

/// Known keys in the form of [`pack`]. Of a key longer than seven bytes, only the first eight bytes.
mod key {
    use super::pack;

    pub(super) const SOURCE: u64 = pack(b"src");
    pub(super) const PACKETS: u64 = pack(b"packets");
    pub(super) const MARK: u64 = pack(b"mark");
    pub(super) const USE: u64 = pack(b"use");
    pub(super) const ZONE: u64 = pack(b"zone");
    pub(super) const DELTA_TIME: u64 = pack(b"delta-ti");
    pub(super) const ZONE_ORIGINAL: u64 = pack(b"zone-ori");
    pub(super) const ZONE_REPLY: u64 = pack(b"zone-rep");
    pub(super) const ID: u64 = pack(b"id");
    pub(super) const SECMARK: u64 = pack(b"secmark");
    pub(super) const PORT_ID: u64 = pack(b"portid");
    pub(super) const TIMEOUT: u64 = pack(b"timeout");
    pub(super) const ASSURED: u64 = pack(b"[ASSURED");
    pub(super) const UNREPLIED: u64 = pack(b"[UNREPLI");
}
