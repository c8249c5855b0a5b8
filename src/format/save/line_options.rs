//! The options of one line: which of them go together, and their values.

use core::{fmt, net::IpAddr, str::FromStr};
use std::borrow::Cow;

use super::words::{GivenOption, OptionSet, SaveError, SaveOption, SaveWord};
use crate::{
    DccpInfo, DccpRole, DccpState, Family, Labels, NatRange, Protocol, ProtocolInfo, SctpInfo, SctpState, Status,
    TcpInfo, TcpState, format::label_map::LabelMap,
};

/// The options of commands that create, change or delete.
const COMMON: OptionSet = OptionSet::of(&[
    SaveOption::Source,
    SaveOption::Destination,
    SaveOption::ReplySource,
    SaveOption::ReplyDestination,
    SaveOption::Protocol,
    SaveOption::Timeout,
    SaveOption::Status,
    SaveOption::Mark,
    SaveOption::Family,
    SaveOption::SourceNat,
    SaveOption::DestinationNat,
    SaveOption::NatRange,
    SaveOption::SecurityMark,
    SaveOption::Zone,
    SaveOption::OriginalZone,
    SaveOption::ReplyZone,
])
.and_of_protocols();

const CREATES: OptionSet = COMMON.and(&[SaveOption::Add, SaveOption::Create, SaveOption::LabelAdd, SaveOption::Helper]);

const SELECTS: OptionSet = COMMON.and(&[
    SaveOption::Delete,
    SaveOption::Id,
    SaveOption::AnyNat,
    SaveOption::Label,
    SaveOption::MaskSource,
    SaveOption::MaskDestination,
    SaveOption::Filter,
]);

const UPDATES: OptionSet = SELECTS.and(&[SaveOption::Update, SaveOption::LabelAdd, SaveOption::LabelDelete]);

const FLUSHES: OptionSet = OptionSet::of(&[SaveOption::Flush, SaveOption::Family]);

/// The source's and the destination's number: ports, or keys of GRE.
type NumberPair = (Option<u16>, Option<u16>);

/// Type, code and identifier of an ICMP query.
type Query = (Option<u8>, Option<u8>, Option<u16>);

/// The options of one line.
pub(super) struct LineOptions<'o, 'l> {
    given: &'o [GivenOption<'l>],
    /// The options in `given`. Most options are absent, and this set says so without a search.
    present: OptionSet,
    labels: &'o LabelMap,
    end: usize,
}

impl<'o, 'l> LineOptions<'o, 'l> {
    pub(super) fn new(given: &'o [GivenOption<'l>], labels: &'o LabelMap, end: usize) -> Self {
        Self { given, present: OptionSet::given(given), labels, end }
    }

    pub(super) fn check_legality(&self, command: SaveOption) -> Result<(), SaveError> {
        let allowed = match command {
            SaveOption::Add | SaveOption::Create => CREATES,
            SaveOption::Update => UPDATES,
            SaveOption::Delete => SELECTS,
            _ => FLUSHES,
        };
        let protocol = self.protocol()?;
        for given in self.given {
            if !allowed.contains(given.option) {
                return Err(given.expected(format!("an option of `--{}`", command.name())));
            }
            match protocol {
                Some(protocol) if !given.option.is_of(protocol) => {
                    return Err(given.expected(format!("an option of {protocol}")));
                }
                None if given.option.is_of_protocol() => return Err(given.expected("`--protonum` in the line")),
                _ => {}
            }
        }
        Ok(())
    }

    /// The option's last occurrence.
    pub(super) fn find(&self, option: SaveOption) -> Option<&'o GivenOption<'l>> {
        if !self.present.contains(option) {
            return None;
        }
        self.given.iter().rev().find(|given| given.option == option)
    }

    pub(super) fn value(&self, option: SaveOption) -> Option<&'o SaveWord<'l>> {
        self.find(option)?.value.as_ref()
    }

    /// The values of every occurrence of an option whose occurrences add up.
    pub(super) fn values(&self, option: SaveOption) -> impl Iterator<Item = &'o SaveWord<'l>> {
        self.given.iter().filter(move |given| given.option == option).filter_map(|given| given.value.as_ref())
    }

    pub(super) fn missing(&self, options: &str) -> SaveError {
        SaveError::expected(options.to_owned(), "", self.end)
    }

    /// The error that the option has another value than expected, or is missing.
    #[cold]
    pub(super) fn expected(&self, option: SaveOption, what: &'static str) -> SaveError {
        self.value(option).map_or_else(|| self.missing(what), |word| word.expected(what))
    }

    pub(super) fn required<T>(&self, option: SaveOption, value: Option<T>) -> Result<T, SaveError> {
        value.ok_or_else(|| self.missing(&format!("`--{}`", option.name())))
    }

    pub(super) fn require_values(&self, options: &[SaveOption]) -> Result<(), SaveError> {
        options.iter().try_for_each(|option| self.required(*option, self.value(*option)).map(drop))
    }

    pub(super) fn number<T: TryFrom<u64> + Bounded>(&self, option: SaveOption) -> Result<Option<T>, SaveError> {
        self.value(option).map(number).transpose()
    }

    /// A value with a name, or its number.
    pub(super) fn named<T: FromStr>(&self, option: SaveOption, expected: &'static str) -> Result<Option<T>, SaveError> {
        self.value(option).map(|word| word.text.parse().map_err(|_| word.expected(expected))).transpose()
    }

    pub(super) fn protocol(&self) -> Result<Option<Protocol>, SaveError> {
        self.named(SaveOption::Protocol, "the name or number of a protocol")
    }

    pub(super) fn address(&self, option: SaveOption) -> Result<Option<IpAddr>, SaveError> {
        self.value(option).map(|word| parsed(word, "an IP address")).transpose()
    }

    /// The family of the option `--family`.
    pub(super) fn family(&self) -> Result<Option<Family>, SaveError> {
        let family = |word: &SaveWord<'_>| match &*word.text {
            "ipv4" => Ok(Family::IPV4),
            "ipv6" => Ok(Family::IPV6),
            _ => Err(word.expected("`ipv4` or `ipv6`")),
        };
        self.value(SaveOption::Family).map(family).transpose()
    }

    /// The family of every address in the line, which have to agree.
    pub(super) fn common_family(&self) -> Result<Option<Family>, SaveError> {
        use SaveOption as O;
        let mut family = self.family()?;
        for option in
            [O::Source, O::Destination, O::ReplySource, O::ReplyDestination, O::MaskSource, O::MaskDestination]
        {
            let Some(word) = self.value(option) else { continue };
            let is_ipv6 = word.text.contains(':');
            agree(&mut family, if is_ipv6 { Family::IPV6 } else { Family::IPV4 }, word)?;
        }
        for option in [O::SourceNat, O::DestinationNat, O::AnyNat] {
            let Some(word) = self.value(option) else { continue };
            if let Some(address) = NatTarget::read(word)?.first_address {
                agree(&mut family, Family::of(address), word)?;
            }
        }
        Ok(family)
    }

    /// The numbers of the original tuple and of the reply tuple.
    pub(super) fn numbers(&self, protocol: Protocol) -> Result<[NumberPair; 2], SaveError> {
        use SaveOption as O;
        let [source, destination, reply_source, reply_destination] = if protocol == Protocol::GRE {
            [O::SourceKey, O::DestinationKey, O::ReplySourceKey, O::ReplyDestinationKey]
        } else {
            [O::SourcePort, O::DestinationPort, O::ReplySourcePort, O::ReplyDestinationPort]
        };
        Ok([
            (self.number(source)?, self.number(destination)?),
            (self.number(reply_source)?, self.number(reply_destination)?),
        ])
    }

    /// Type, code and identifier of the query of a request.
    pub(super) fn query(&self, protocol: Protocol) -> Result<Query, SaveError> {
        use SaveOption as O;
        let [icmp_type, code, id] = match protocol {
            Protocol::ICMP => [O::IcmpType, O::IcmpCode, O::IcmpId],
            _ => [O::Icmpv6Type, O::Icmpv6Code, O::Icmpv6Id],
        };
        Ok((self.number(icmp_type)?, self.number(code)?, self.number(id)?))
    }

    pub(super) fn nat(&self, option: SaveOption) -> Result<Option<NatTarget>, SaveError> {
        self.value(option).map(NatTarget::read).transpose()
    }

    pub(super) fn mark(&self) -> Result<Option<(u32, u32)>, SaveError> {
        let Some(word) = self.value(SaveOption::Mark) else { return Ok(None) };
        match word.text.find('/') {
            Some(slash) => {
                let head = word.text.get(..slash).unwrap_or_default();
                let head = SaveWord { text: Cow::Borrowed(head), column: word.column };
                Ok(Some((number(&head)?, number(&word.clone().tail(slash + 1))?)))
            }
            None => Ok(Some((number(word)?, u32::MAX))),
        }
    }

    pub(super) fn label_set(&self, option: SaveOption) -> Result<Option<Labels>, SaveError> {
        let mut labels: Option<Labels> = None;
        for word in self.values(option) {
            for (name, column) in parts(word) {
                let number = || name.parse().ok().filter(|bit| *bit < 128);
                let bit = self.labels.bit(name).or_else(number);
                let expected = || SaveError::expected("the name of a label, or its number up to 127", name, column);
                labels = Some(labels.unwrap_or_default().with(bit.ok_or_else(expected)?));
            }
        }
        Ok(labels)
    }

    /// The bits that must be set, and the bits that must not be set.
    pub(super) fn status(&self) -> Result<Option<(Status, Status)>, SaveError> {
        let mut found = None;
        for word in self.values(SaveOption::Status) {
            for (name, column) in parts(word) {
                let (set, unset) = status_bits(name).ok_or_else(|| SaveError::expected(STATUS, name, column))?;
                let (all_set, all_unset) = found.get_or_insert((Status::empty(), Status::empty()));
                *all_set |= set;
                *all_unset |= unset;
            }
        }
        Ok(found)
    }

    /// The bits that a request may set.
    pub(super) fn settable_status(&self) -> Result<Option<Status>, SaveError> {
        let Some((set, _)) = self.status()? else { return Ok(None) };
        if set.intersects(Status::EXPECTED | Status::OFFLOAD | Status::HW_OFFLOAD) {
            let expected = "status bits that a request may set: SEEN_REPLY, ASSURED, FIXED_TIMEOUT";
            return Err(self.expected(SaveOption::Status, expected));
        }
        // The kernel sets these two by the translation.
        Ok(Some(set & !(Status::SRC_NAT | Status::DST_NAT)))
    }

    /// The state, with the tags of SCTP or the role of DCCP.
    pub(super) fn protocol_info(&self, protocol: Protocol) -> Result<Option<ProtocolInfo>, SaveError> {
        let Some(word) = self.value(SaveOption::State) else { return Ok(None) };
        Ok(Some(match protocol {
            // The name of this state before Linux 2.6.31.
            Protocol::TCP if word.text == "LISTEN" => TcpInfo::new(TcpState::SYN_SENT2).into(),
            Protocol::TCP => TcpInfo::new(parsed(word, "a TCP state")?).into(),
            Protocol::SCTP => {
                let state: SctpState = parsed(word, "an SCTP state")?;
                let (original, reply) = self.verification_tags()?;
                SctpInfo::new(state, original.unwrap_or(0), reply.unwrap_or(0)).into()
            }
            _ => {
                let state: DccpState = parsed(word, "a DCCP state")?;
                let role = self.named(SaveOption::Role, "`client` or `server`")?;
                DccpInfo::new(state, role.unwrap_or(DccpRole::CLIENT), 0).into()
            }
        }))
    }

    /// conntrack(8) prints and reads the bytes of a tag as a number of the host.
    pub(super) fn verification_tags(&self) -> Result<(Option<u32>, Option<u32>), SaveError> {
        let as_saved = |tag: u32| u32::from_be_bytes(tag.to_ne_bytes());
        let [original, reply] = [SaveOption::OriginalTag, SaveOption::ReplyTag].map(|option| self.number(option));
        Ok((original?.map(as_saved), reply?.map(as_saved)))
    }
}

/// Where a translation leads: `A`, `A:PORT`, `[A]:PORT`, with ranges `A-B` and `PORT-PORT`.
#[derive(Clone, Copy, Default)]
pub(super) struct NatTarget {
    pub(super) first_address: Option<IpAddr>,
    pub(super) last_address: Option<IpAddr>,
    pub(super) first_port: Option<u16>,
    pub(super) last_port: Option<u16>,
}

impl NatTarget {
    pub(super) fn read(word: &SaveWord<'_>) -> Result<Self, SaveError> {
        const EXPECTED: &str = "an address to translate to, such as `192.0.2.1`, `192.0.2.1-192.0.2.9:1024-2047` or \
                                `[2001:db8::1]:80`";
        Self::parse(&word.text).ok_or_else(|| word.expected(EXPECTED))
    }

    fn parse(text: &str) -> Option<Self> {
        let (addresses, ports) = match text.rfind(']') {
            Some(bracket) => {
                let (addresses, ports) = text.split_at_checked(bracket + 1)?;
                (addresses, if ports.is_empty() { None } else { Some(ports.strip_prefix(':')?) })
            }
            // More than one colon is an IPv6 address.
            None if text.matches(':').count() == 1 => {
                text.split_once(':').map(|(before, after)| (before, Some(after)))?
            }
            None => (text, None),
        };
        let unbracketed = |text: &str| -> Option<IpAddr> {
            match text.strip_prefix('[') {
                Some(inside) => inside.strip_suffix(']')?.parse().ok().filter(IpAddr::is_ipv6),
                None => text.parse().ok(),
            }
        };
        let port = |text: &str| text.parse().ok().filter(|_| !text.starts_with('+'));
        let (first_address, last_address) = range(addresses, unbracketed)?;
        let (first_port, last_port) = match ports {
            Some(ports) => range(ports, port).map(|(first, last)| (Some(first), last))?,
            None => (None, None),
        };
        let is_ordered = last_address
            .is_none_or(|last| first_address.is_ipv4() == last.is_ipv4() && first_address <= last)
            && last_port.is_none_or(|last| first_port <= Some(last));
        is_ordered.then_some(Self { first_address: Some(first_address), last_address, first_port, last_port })
    }

    pub(super) fn range(self) -> NatRange {
        let range = match (self.first_address, self.last_address) {
            (Some(first), Some(last)) => NatRange::addresses(first, last),
            (Some(address), None) => NatRange::address(address),
            (None, _) => NatRange::keep_address(),
        };
        match (self.first_port, self.last_port) {
            (Some(first), Some(last)) => range.ports(first, last),
            (Some(port), None) => range.port(port),
            (None, _) => range,
        }
    }
}

/// `FIRST` or `FIRST-LAST`.
fn range<T>(text: &str, read: impl Fn(&str) -> Option<T>) -> Option<(T, Option<T>)> {
    match text.split_once('-') {
        Some((first, last)) => Some((read(first)?, Some(read(last)?))),
        None => Some((read(text)?, None)),
    }
}

const STATUS: &str = "a status, such as SEEN_REPLY, ASSURED, FIXED_TIMEOUT or UNSET";

/// The bits that a word of the status names, set and unset. As in conntrack(8), words may be cut short, and `!` negates.
fn status_bits(word: &str) -> Option<(Status, Status)> {
    const NONE: Status = Status::empty();
    /// `UNSET` says that no bit with a name is set.
    const NAMED: Status = Status::ASSURED
        .union(Status::SEEN_REPLY)
        .union(Status::FIXED_TIMEOUT)
        .union(Status::EXPECTED)
        .union(Status::OFFLOAD)
        .union(Status::HW_OFFLOAD);
    const WORDS: [(&str, Status, Status); 10] = [
        ("ASSURED", Status::ASSURED, NONE),
        ("SEEN_REPLY", Status::SEEN_REPLY, NONE),
        ("UNSET", NONE, NAMED),
        ("FIXED_TIMEOUT", Status::FIXED_TIMEOUT, NONE),
        ("EXPECTED", Status::EXPECTED, NONE),
        ("OFFLOAD", Status::OFFLOAD, NONE),
        ("HW_OFFLOAD", Status::HW_OFFLOAD, NONE),
        ("SRC_NAT", Status::SRC_NAT, NONE),
        ("DST_NAT", Status::DST_NAT, NONE),
        ("UNREPLIED", NONE, Status::SEEN_REPLY),
    ];
    let (name, is_negated) = word.strip_prefix('!').map_or((word, false), |name| (name, true));
    let begins = |known: &str| known.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
    let (_, set, unset) = WORDS.iter().find(|(known, ..)| !name.is_empty() && begins(known))?;
    match is_negated {
        false => Some((*set, *unset)),
        true if set.is_empty() => None,
        true => Some((NONE, *set)),
    }
}

/// The parts of a list that commas separate, with their columns.
fn parts<'w>(word: &'w SaveWord<'_>) -> impl Iterator<Item = (&'w str, usize)> {
    let mut column = word.column;
    word.text.split(',').map(move |part| {
        let at = column;
        column += part.len() + 1;
        (part, at)
    })
}

fn agree(family: &mut Option<Family>, found: Family, word: &SaveWord<'_>) -> Result<(), SaveError> {
    match family.replace(found) {
        Some(known) if known != found => {
            Err(word.expected(if known == Family::IPV6 { "an IPv6 address" } else { "an IPv4 address" }))
        }
        _ => Ok(()),
    }
}

pub(super) fn parsed<T: FromStr>(word: &SaveWord<'_>, expected: &'static str) -> Result<T, SaveError> {
    word.text.parse().map_err(|_| word.expected(expected))
}

/// The greatest number of a type, for messages.
pub(super) trait Bounded: fmt::Display {
    const GREATEST: Self;
}

macro_rules! bounded {
    ($($number:ident)+) => { $( impl Bounded for $number { const GREATEST: Self = Self::MAX; } )+ };
}
bounded!(u8 u16 u32);

/// A number as strtoul(3) reads it: decimal, hexadecimal after `0x`, or octal after `0`.
fn number<T: TryFrom<u64> + Bounded>(word: &SaveWord<'_>) -> Result<T, SaveError> {
    let text = &*word.text;
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None => match text.strip_prefix('0') {
            Some(digits) if !digits.is_empty() => (digits, 8),
            _ => (text, 10),
        },
    };
    let parsed = u64::from_str_radix(digits, radix).ok().filter(|_| !digits.starts_with('+'));
    let expected = || word.expected(format!("a number up to {}", T::GREATEST));
    parsed.and_then(|number| T::try_from(number).ok()).ok_or_else(expected)
}
