//! Turns comparisons into instructions, written from the last to the first.
//!
//! Classic BPF only jumps forward, and a conditional jump skips at most 255 instructions. Writing backward, every target
//! exists when a jump to it is written, so the distance is known. If a target is too far, an unconditional jump, which
//! reaches any distance, is placed right after the conditional one.

use core::net::{IpAddr, Ipv6Addr};

use crate::{
    filter::{
        AddressSet, Prefix,
        evaluate::Program,
        expression::Masked,
        fields::{AddressField, NumberField},
        lowering::{Leaf, Lowered},
        sets::{Ranges, coarsened},
    },
    model::Protocol,
    wire::{
        CTA_ID, CTA_IP_V4_DST, CTA_IP_V4_SRC, CTA_IP_V6_DST, CTA_IP_V6_SRC, CTA_MARK, CTA_PROTO_DST_PORT,
        CTA_PROTO_ICMP_CODE, CTA_PROTO_ICMP_ID, CTA_PROTO_ICMP_TYPE, CTA_PROTO_ICMPV6_CODE, CTA_PROTO_ICMPV6_ID,
        CTA_PROTO_ICMPV6_TYPE, CTA_PROTO_NUM, CTA_PROTO_SRC_PORT, CTA_PROTOINFO, CTA_PROTOINFO_DCCP,
        CTA_PROTOINFO_DCCP_ROLE, CTA_PROTOINFO_DCCP_STATE, CTA_PROTOINFO_SCTP, CTA_PROTOINFO_SCTP_STATE,
        CTA_PROTOINFO_SCTP_VTAG_ORIGINAL, CTA_PROTOINFO_SCTP_VTAG_REPLY, CTA_PROTOINFO_TCP, CTA_PROTOINFO_TCP_STATE,
        CTA_STATUS, CTA_TIMEOUT, CTA_TUPLE_IP, CTA_TUPLE_ORIG, CTA_TUPLE_PROTO, CTA_TUPLE_REPLY, CTA_TUPLE_ZONE,
        CTA_ZONE, NETFILTER_HEADER_LENGTH, NETLINK_HEADER_LENGTH,
    },
};

/// The offsets of the family and of the first attribute in a message.
const FAMILY: u32 = NETLINK_HEADER_LENGTH as u32;
pub(super) const ATTRIBUTES: u32 = (NETLINK_HEADER_LENGTH + NETFILTER_HEADER_LENGTH) as u32;
/// The length of an attribute's header in bytes.
const HEADER: u32 = 4;

/// `SKF_AD_OFF + SKF_AD_NLATTR`: loads the offset of the first attribute of type `X` from offset `A` on, or 0.
pub(super) const NLATTR: u32 = 0xffff_f00c;
/// `SKF_AD_OFF + SKF_AD_NLATTR_NEST`: the same inside the attribute at offset `A`.
const NLATTR_NEST: u32 = 0xffff_f010;

/// Longer lists of ranges are searched by halves.
const LINEAR: usize = 4;

/// Writes conditions, each as code that continues at one of two labels.
#[derive(Debug)]
pub(super) struct Emitter {
    pub(super) assembler: Assembler,
    /// How many ranges of a set are compared.
    limit: usize,
    /// Whether events outside the filter may pass.
    pub(super) wider: bool,
}

impl Emitter {
    pub(super) const fn new(assembler: Assembler, limit: usize) -> Self {
        Self { assembler, limit, wider: false }
    }

    /// Continues at `yes` if the program may accept the flow, and at `no` if it rejects it. Returns `None` as soon as
    /// there are more than `longest` instructions.
    pub(super) fn program(&mut self, program: &Program, yes: Label, no: Label, longest: usize) -> Option<Label> {
        // A program only jumps forward, so the targets of a step have been written before it.
        let mut entries: Vec<Label> = Vec::new();
        let entry_of = |entries: &[Label], target: usize| match target {
            Program::ACCEPT => yes,
            Program::REJECT => no,
            step => {
                let from_the_end = program.steps().len() - 1 - step;
                entries.get(from_the_end).copied().unwrap_or(yes)
            }
        };
        for step in program.steps().iter().rev() {
            let (satisfied, violated) = if step.negated { (step.fails, step.holds) } else { (step.holds, step.fails) };
            let (satisfied, violated) = (entry_of(&entries, satisfied), entry_of(&entries, violated));
            entries.push(self.condition(&Lowered::new(&step.term, step.negated), satisfied, violated));
            if self.assembler.length() > longest {
                return None;
            }
        }
        Some(entry_of(&entries, program.start()))
    }

    /// Continues at `yes` if the condition may hold, and at `no` if it does not.
    fn condition(&mut self, condition: &Lowered<'_>, yes: Label, no: Label) -> Label {
        match condition {
            Lowered::All(parts) => parts.iter().rev().fold(yes, |next, part| self.condition(part, next, no)),
            Lowered::Any(parts) => parts.iter().rev().fold(no, |next, part| self.condition(part, yes, next)),
            Lowered::Leaf { leaf, negated: false } => self.leaf(leaf, yes, no).unwrap_or_else(|| self.unknown(yes)),
            Lowered::Leaf { leaf, negated: true } => self.negated_leaf(leaf, yes, no),
            Lowered::Unknown => self.unknown(yes),
        }
    }

    fn unknown(&mut self, yes: Label) -> Label {
        self.wider = true;
        yes
    }

    /// The negation of a leaf. A leaf that is compared coarsely accepts too much, so its negation would accept too
    /// little: it is unknown.
    fn negated_leaf(&mut self, leaf: &Leaf<'_>, yes: Label, no: Label) -> Label {
        if self.is_coarse(leaf) {
            return self.unknown(yes);
        }
        self.leaf(leaf, no, yes).unwrap_or_else(|| self.unknown(yes))
    }

    fn is_coarse(&self, leaf: &Leaf<'_>) -> bool {
        match leaf {
            Leaf::Address { set, .. } => {
                set.ipv4.as_slice().len() > self.limit || (!set.ipv6.is_empty() && self.ipv6_prefixes(set).is_none())
            }
            Leaf::Number { values, .. } => values.as_slice().len() > self.limit,
            Leaf::Status(_) | Leaf::Mark(_) => false,
        }
    }

    /// Returns `None` if programs do not look at the field.
    fn leaf(&mut self, leaf: &Leaf<'_>, yes: Label, no: Label) -> Option<Label> {
        match leaf {
            Leaf::Address { field, set } => self.address(*field, set, yes, no),
            Leaf::Number { field, values } => self.number(*field, values, yes, no),
            Leaf::Status(bits) => Some(self.masked(&[CTA_STATUS], *bits, yes, no, no)),
            Leaf::Mark(bits) => {
                let absent = if bits.matches(0) { yes } else { no };
                Some(self.masked(&[CTA_MARK], *bits, yes, no, absent))
            }
        }
    }

    fn masked(&mut self, path: &Path, bits: Masked, yes: Label, no: Label, absent: Label) -> Label {
        self.assembler.branch(Opcode::JumpIfEqual, bits.value, yes, no);
        if bits.mask != u32::MAX {
            self.assembler.push(Opcode::And, bits.mask);
        }
        self.load(path, Width::Word, absent)
    }

    fn number(&mut self, field: NumberField, values: &Ranges<u64>, yes: Label, no: Label) -> Option<Label> {
        let ranges = self.ranges32(values);
        match Location::of(field) {
            Location::Family => {
                self.in_ranges(&ranges, yes, no);
                Some(self.assembler.push(Opcode::LoadByte, FAMILY))
            }
            Location::Attribute(path, width) => Some(self.attribute(path, width, &ranges, yes, no, no)),
            Location::Either([first, second], width) => {
                let absent = self.attribute(second, width, &ranges, yes, no, no);
                Some(self.attribute(first, width, &ranges, yes, no, absent))
            }
            Location::Pair { path, gre } => {
                let found = self.attribute(path, Width::Half, &ranges, yes, no, no);
                let (is_gre, is_not) = if gre { (found, no) } else { (no, found) };
                self.assembler.branch(Opcode::JumpIfEqual, Protocol::GRE.0.into(), is_gre, is_not);
                Some(self.load(PROTOCOL, Width::Byte, no))
            }
            Location::Zone => Some(self.zone(field, &ranges, yes, no)),
            Location::None => None,
        }
    }

    fn attribute(
        &mut self,
        path: &Path,
        width: Width,
        ranges: &[(u32, u32)],
        yes: Label,
        no: Label,
        absent: Label,
    ) -> Label {
        self.in_ranges(ranges, yes, no);
        self.load(path, width, absent)
    }

    fn zone(&mut self, field: NumberField, ranges: &[(u32, u32)], yes: Label, no: Label) -> Label {
        match field {
            NumberField::ZoneOriginal => self.zone_of(CTA_TUPLE_ORIG, ranges, yes, no),
            NumberField::ZoneReply => self.zone_of(CTA_TUPLE_REPLY, ranges, yes, no),
            NumberField::ZoneEither => {
                let reply = self.zone_of(CTA_TUPLE_REPLY, ranges, yes, no);
                self.zone_of(CTA_TUPLE_ORIG, ranges, yes, reply)
            }
            _ => {
                // The zone of the reply tuple is kept in M[0], and then in X, until the other is loaded.
                let same = self.in_ranges(ranges, yes, no);
                self.assembler.branch(Opcode::JumpIfEqualIndex, 0, same, no);
                self.assembler.push(Opcode::LoadIndexScratch, 0);
                self.load_zone(CTA_TUPLE_ORIG);
                self.assembler.push(Opcode::Store, 0);
                self.load_zone(CTA_TUPLE_REPLY)
            }
        }
    }

    fn zone_of(&mut self, tuple: u16, ranges: &[(u32, u32)], yes: Label, no: Label) -> Label {
        self.in_ranges(ranges, yes, no);
        self.load_zone(tuple)
    }

    /// Loads the zone of a direction: its own, or that of both directions, or 0.
    fn load_zone(&mut self, tuple: u16) -> Label {
        let loaded = self.assembler.here();
        let default = self.assembler.push(Opcode::LoadImmediate, 0);
        self.assembler.goto(loaded);
        let both = self.load(&[CTA_ZONE], Width::Half, default);
        self.assembler.goto(loaded);
        self.load(&[tuple, CTA_TUPLE_ZONE], Width::Half, both)
    }

    /// Loads a number and continues with the instruction written last, or at `absent` if there is no such attribute.
    fn load(&mut self, path: &Path, width: Width, absent: Label) -> Label {
        let operation = match width {
            Width::Byte => Opcode::LoadByteIndexed,
            Width::Half => Opcode::LoadHalfIndexed,
            Width::Word => Opcode::LoadWordIndexed,
        };
        self.assembler.push(operation, HEADER);
        self.find(path, absent)
    }

    /// Loads the offset of an attribute into `X`, or continues at `absent`.
    fn find(&mut self, path: &Path, absent: Label) -> Label {
        let mut next = self.assembler.push(Opcode::CopyToIndex, 0);
        for (depth, number) in path.iter().enumerate().rev() {
            self.assembler.branch(Opcode::JumpIfEqual, 0, absent, next);
            self.assembler.push(Opcode::LoadWord, if depth == 0 { NLATTR } else { NLATTR_NEST });
            next = self.assembler.push(Opcode::LoadIndexImmediate, (*number).into());
        }
        self.assembler.push(Opcode::LoadImmediate, ATTRIBUTES)
    }

    /// Branches on whether `A` is in one of the ranges, which are sorted.
    fn in_ranges(&mut self, ranges: &[(u32, u32)], yes: Label, no: Label) -> Label {
        if ranges.len() > LINEAR {
            let (low, high) = ranges.split_at(ranges.len() / 2);
            if let Some((middle, _)) = high.first() {
                let high = self.in_ranges(high, yes, no);
                let low = self.in_ranges(low, yes, no);
                return self.assembler.branch(Opcode::JumpIfAtLeast, *middle, high, low);
            }
        }
        let entry = ranges.iter().rev().fold(no, |next, (first, last)| self.in_range(*first, *last, yes, next));
        self.assembler.goto(entry)
    }

    fn in_range(&mut self, first: u32, last: u32, yes: Label, no: Label) -> Label {
        if first == last {
            return self.assembler.branch(Opcode::JumpIfEqual, first, yes, no);
        }
        let below = self.assembler.branch(Opcode::JumpIfGreater, last, no, yes);
        self.assembler.branch(Opcode::JumpIfAtLeast, first, below, no)
    }

    /// The ranges of numbers in messages, which have at most 32 bits, reduced to the limit.
    fn ranges32(&mut self, values: &Ranges<u64>) -> Vec<(u32, u32)> {
        let narrow = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        let ranges: Vec<_> = values.as_slice().iter().map(|(first, last)| (narrow(*first), narrow(*last))).collect();
        self.at_most_limit(&ranges)
    }

    fn at_most_limit(&mut self, ranges: &[(u32, u32)]) -> Vec<(u32, u32)> {
        self.wider |= ranges.len() > self.limit;
        coarsened(ranges, self.limit)
    }

    fn address(&mut self, field: AddressField, set: &AddressSet, yes: Label, no: Label) -> Option<Label> {
        let (tuple, source) = address(field)?;
        let (ipv4, ipv6) = if source { (CTA_IP_V4_SRC, CTA_IP_V6_SRC) } else { (CTA_IP_V4_DST, CTA_IP_V6_DST) };
        let mut entry = no;
        if !set.ipv6.is_empty() {
            self.ipv6(set, yes, no);
            entry = self.find(&[tuple, CTA_TUPLE_IP, ipv6], entry);
        }
        if !set.ipv4.is_empty() {
            let ranges = self.at_most_limit(set.ipv4.as_slice());
            entry = self.attribute(&[tuple, CTA_TUPLE_IP, ipv4], Width::Word, &ranges, yes, no, entry);
        }
        Some(entry)
    }

    /// Branches on whether the address at `X` is in the set.
    fn ipv6(&mut self, set: &AddressSet, yes: Label, no: Label) -> Label {
        if let Some(prefixes) = self.ipv6_prefixes(set) {
            let entry = prefixes.iter().rev().fold(no, |next, prefix| self.ipv6_prefix(prefix, yes, next));
            return self.assembler.goto(entry);
        }
        // There are too many to compare whole addresses, so only their first 32 bits are compared.
        self.wider = true;
        let word = |bits: u128| (bits >> 96) as u32;
        let words = Ranges::new(set.ipv6.as_slice().iter().map(|(first, last)| (word(*first), word(*last))));
        let ranges = self.at_most_limit(words.as_slice());
        self.in_ranges(&ranges, yes, no);
        self.assembler.push(Opcode::LoadWordIndexed, HEADER)
    }

    /// Returns the IPv6 prefixes of a set, or `None` if there are too many.
    fn ipv6_prefixes(&self, set: &AddressSet) -> Option<Vec<Prefix>> {
        // A program cannot hold more, whatever the limit.
        const ROOM: usize = 1000;
        let limit = self.limit.min(ROOM);
        let prefixes = set.prefixes().filter(|prefix| prefix.address().is_ipv6());
        let prefixes: Vec<_> = prefixes.take(limit.saturating_add(1)).collect();
        (prefixes.len() <= limit).then_some(prefixes)
    }

    fn ipv6_prefix(&mut self, prefix: &Prefix, yes: Label, no: Label) -> Label {
        let IpAddr::V6(address) = prefix.address() else { return no };
        let mask = u128::MAX.checked_shl(128 - u32::from(prefix.length())).unwrap_or(0);
        let words = words(address).into_iter().zip(words(Ipv6Addr::from_bits(mask))).zip([4, 8, 12, 16]);
        let mut next = yes;
        for ((value, mask), offset) in words.rev().filter(|((_, mask), _)| *mask != 0) {
            self.assembler.branch(Opcode::JumpIfEqual, value, next, no);
            if mask != u32::MAX {
                self.assembler.push(Opcode::And, mask);
            }
            next = self.assembler.push(Opcode::LoadWordIndexed, offset);
        }
        // The whole family matches, so there is nothing to compare.
        if next == yes { self.assembler.goto(yes) } else { next }
    }
}

fn words(address: Ipv6Addr) -> [u32; 4] {
    let bits = address.to_bits();
    [96, 64, 32, 0].map(|shift| (bits >> shift) as u32)
}

/// The attributes from the outermost to the one that contains the number.
pub(super) type Path = [u16];

/// The size of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    Byte,
    Half,
    Word,
}

/// Where the program finds a number.
#[derive(Clone, Copy, Debug)]
pub(super) enum Location {
    /// In the header of the message.
    Family,
    /// In one attribute.
    Attribute(&'static Path, Width),
    /// In one of two attributes, of which a message contains at most one.
    Either([&'static Path; 2], Width),
    /// In an attribute that contains a key for GRE, and a port otherwise.
    Pair { path: &'static Path, gre: bool },
    /// In the zone attributes of the message and of its tuples together.
    Zone,
    /// Programs do not look at it.
    None,
}

pub(super) const PROTOCOL: &Path = &[CTA_TUPLE_ORIG, CTA_TUPLE_PROTO, CTA_PROTO_NUM];

const SOURCE: &Path = &[CTA_TUPLE_ORIG, CTA_TUPLE_PROTO, CTA_PROTO_SRC_PORT];
const DESTINATION: &Path = &[CTA_TUPLE_ORIG, CTA_TUPLE_PROTO, CTA_PROTO_DST_PORT];
const REPLY_SOURCE: &Path = &[CTA_TUPLE_REPLY, CTA_TUPLE_PROTO, CTA_PROTO_SRC_PORT];
const REPLY_DESTINATION: &Path = &[CTA_TUPLE_REPLY, CTA_TUPLE_PROTO, CTA_PROTO_DST_PORT];

impl Location {
    pub(super) const fn of(field: NumberField) -> Self {
        match field {
            NumberField::Family => Self::Family,
            NumberField::Protocol => Self::Attribute(PROTOCOL, Width::Byte),
            NumberField::SourcePort => Self::Pair { path: SOURCE, gre: false },
            NumberField::DestinationPort => Self::Pair { path: DESTINATION, gre: false },
            NumberField::ReplySourcePort => Self::Pair { path: REPLY_SOURCE, gre: false },
            NumberField::ReplyDestinationPort => Self::Pair { path: REPLY_DESTINATION, gre: false },
            NumberField::SourceKey => Self::Pair { path: SOURCE, gre: true },
            NumberField::DestinationKey => Self::Pair { path: DESTINATION, gre: true },
            NumberField::ReplySourceKey => Self::Pair { path: REPLY_SOURCE, gre: true },
            NumberField::ReplyDestinationKey => Self::Pair { path: REPLY_DESTINATION, gre: true },
            NumberField::IcmpType => Self::Either(
                [
                    &[CTA_TUPLE_ORIG, CTA_TUPLE_PROTO, CTA_PROTO_ICMP_TYPE],
                    &[CTA_TUPLE_ORIG, CTA_TUPLE_PROTO, CTA_PROTO_ICMPV6_TYPE],
                ],
                Width::Byte,
            ),
            NumberField::IcmpCode => Self::Either(
                [
                    &[CTA_TUPLE_ORIG, CTA_TUPLE_PROTO, CTA_PROTO_ICMP_CODE],
                    &[CTA_TUPLE_ORIG, CTA_TUPLE_PROTO, CTA_PROTO_ICMPV6_CODE],
                ],
                Width::Byte,
            ),
            NumberField::IcmpId => Self::Either(
                [
                    &[CTA_TUPLE_ORIG, CTA_TUPLE_PROTO, CTA_PROTO_ICMP_ID],
                    &[CTA_TUPLE_ORIG, CTA_TUPLE_PROTO, CTA_PROTO_ICMPV6_ID],
                ],
                Width::Half,
            ),
            NumberField::TcpState => {
                Self::Attribute(&[CTA_PROTOINFO, CTA_PROTOINFO_TCP, CTA_PROTOINFO_TCP_STATE], Width::Byte)
            }
            NumberField::SctpState => {
                Self::Attribute(&[CTA_PROTOINFO, CTA_PROTOINFO_SCTP, CTA_PROTOINFO_SCTP_STATE], Width::Byte)
            }
            NumberField::DccpState => {
                Self::Attribute(&[CTA_PROTOINFO, CTA_PROTOINFO_DCCP, CTA_PROTOINFO_DCCP_STATE], Width::Byte)
            }
            NumberField::DccpRole => {
                Self::Attribute(&[CTA_PROTOINFO, CTA_PROTOINFO_DCCP, CTA_PROTOINFO_DCCP_ROLE], Width::Byte)
            }
            NumberField::TagOriginal => {
                Self::Attribute(&[CTA_PROTOINFO, CTA_PROTOINFO_SCTP, CTA_PROTOINFO_SCTP_VTAG_ORIGINAL], Width::Word)
            }
            NumberField::TagReply => {
                Self::Attribute(&[CTA_PROTOINFO, CTA_PROTOINFO_SCTP, CTA_PROTOINFO_SCTP_VTAG_REPLY], Width::Word)
            }
            NumberField::Zone | NumberField::ZoneOriginal | NumberField::ZoneReply | NumberField::ZoneEither => {
                Self::Zone
            }
            NumberField::Id => Self::Attribute(&[CTA_ID], Width::Word),
            NumberField::Timeout => Self::Attribute(&[CTA_TIMEOUT], Width::Word),
            NumberField::Port
            | NumberField::Age
            | NumberField::Packets
            | NumberField::Bytes
            | NumberField::PacketsOriginal
            | NumberField::BytesOriginal
            | NumberField::PacketsReply
            | NumberField::BytesReply => Self::None,
        }
    }
}

/// Returns the tuple that contains an address, and whether the address is the source.
pub(super) const fn address(field: AddressField) -> Option<(u16, bool)> {
    match field {
        AddressField::Source => Some((CTA_TUPLE_ORIG, true)),
        AddressField::Destination => Some((CTA_TUPLE_ORIG, false)),
        AddressField::ReplySource => Some((CTA_TUPLE_REPLY, true)),
        AddressField::ReplyDestination => Some((CTA_TUPLE_REPLY, false)),
        AddressField::Any => None,
    }
}

/// An instruction of classic BPF, `struct sock_filter`.
///
/// # Example
///
/// ```
/// use ctnetlink::{Filter, filter::SocketFilter};
///
/// let program = SocketFilter::new(&Filter::everything());
/// let last = program.instructions().last().unwrap();
/// assert_eq!((last.code, last.value), (0x06, u32::MAX)); // Returns the length to keep: everything.
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_structs, reason = "the kernel's layout")]
pub struct Instruction {
    /// The operation, with the size and the source of its operand.
    pub code: u16,
    /// The number of instructions to skip if the condition holds.
    pub jump_true: u8,
    /// The number of instructions to skip if it does not hold.
    pub jump_false: u8,
    /// The operand `k`.
    pub value: u32,
}

/// An operation on the accumulator `A`, the index `X` and the scratch word `M[0]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum Opcode {
    LoadImmediate = 0x00,
    LoadIndexImmediate = 0x01,
    Store = 0x02,
    Jump = 0x05,
    Return = 0x06,
    CopyToIndex = 0x07,
    JumpIfEqual = 0x15,
    JumpIfEqualIndex = 0x1d,
    LoadWord = 0x20,
    JumpIfGreater = 0x25,
    LoadHalf = 0x28,
    LoadByte = 0x30,
    JumpIfAtLeast = 0x35,
    LoadWordIndexed = 0x40,
    JumpIfAnySet = 0x45,
    LoadHalfIndexed = 0x48,
    LoadByteIndexed = 0x50,
    And = 0x54,
    LoadIndexScratch = 0x61,
}

/// A place in the program, as the number of instructions from there to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Label(usize);

/// A program under construction, last instruction first.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    reversed: Vec<Instruction>,
    /// Unconditional jumps to labels that are too far for a condition: the target and the place of the jump. Only those
    /// within reach of the next instruction are kept.
    relays: Vec<(Label, Label)>,
}

impl Assembler {
    /// Returns the program in the order in which it runs.
    pub(super) fn finish(self) -> Vec<Instruction> {
        let mut instructions = self.reversed;
        instructions.reverse();
        instructions
    }

    /// The number of instructions so far.
    pub(super) fn length(&self) -> usize {
        self.reversed.len()
    }

    /// The instruction that was written last, and runs next.
    pub(super) fn here(&self) -> Label {
        Label(self.reversed.len())
    }

    /// Writes an instruction that runs before the one written last.
    pub(super) fn push(&mut self, operation: Opcode, value: u32) -> Label {
        self.write(operation, value, 0, 0)
    }

    /// Continues at `label`.
    pub(super) fn goto(&mut self, label: Label) -> Label {
        if label == self.here() { label } else { self.push(Opcode::Jump, self.distance(label) as u32) }
    }

    /// Continues at one label or the other.
    pub(super) fn branch(&mut self, condition: Opcode, value: u32, yes: Label, no: Label) -> Label {
        if yes == no {
            return self.goto(yes);
        }
        let yes = self.near(yes);
        let no = self.near(no);
        // `near` leaves room for the jump that the second call may have inserted.
        let jump = |label| u8::try_from(self.distance(label)).unwrap_or(u8::MAX);
        let (jump_true, jump_false) = (jump(yes), jump(no));
        self.write(condition, value, jump_true, jump_false)
    }

    /// Returns the label, or that of a jump to it if the label is too far for a condition.
    fn near(&mut self, label: Label) -> Label {
        const REACH: usize = u8::MAX as usize - 1;
        if self.distance(label) <= REACH {
            return label;
        }
        let known = self.relays.iter().find(|(target, relay)| *target == label && self.distance(*relay) <= REACH);
        if let Some((_, relay)) = known {
            return *relay;
        }
        let relay = self.push(Opcode::Jump, self.distance(label) as u32);
        // Dropping the others keeps the search above short.
        let length = self.reversed.len();
        self.relays.retain(|(_, relay)| length - relay.0 <= REACH);
        self.relays.push((label, relay));
        relay
    }

    /// The number of instructions that an instruction written now would have to skip.
    fn distance(&self, label: Label) -> usize {
        self.reversed.len().saturating_sub(label.0)
    }

    fn write(&mut self, operation: Opcode, value: u32, jump_true: u8, jump_false: u8) -> Label {
        self.reversed.push(Instruction { code: operation as u16, jump_true, jump_false, value });
        self.here()
    }
}
