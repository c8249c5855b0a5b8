//! Arguments of options. An argument with trailing text is refused.

use std::{
    fmt::Display,
    fs,
    net::{IpAddr, Ipv6Addr},
};

use ctnetlink::{DccpRole, DccpState, Family, Prefix, Protocol, ProtocolInfo, SctpState, Status, TcpState};

use crate::failure::{Failure, Outcome};

/// A number as strtoul(3) reads it: decimal, `0x` hexadecimal, `0` octal.
pub fn number<T: TryFrom<u64>>(what: impl Display, text: &str) -> Outcome<T> {
    let (digits, radix) = match text.strip_prefix("0x").or(text.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None => match text.strip_prefix('0') {
            Some(digits) if !digits.is_empty() => (digits, 8),
            _ => (text, 10),
        },
    };
    let parsed = if digits.starts_with('+') { None } else { u64::from_str_radix(digits, radix).ok() };
    let fitting = parsed.and_then(|number| T::try_from(number).ok());
    fitting.ok_or_else(|| Failure::usage(format_args!("Invalid {what} `{text}'")))
}

pub fn port(text: &str) -> Outcome<u16> {
    let parsed = if text.starts_with('+') { None } else { text.parse().ok() };
    parsed.ok_or_else(|| Failure::usage(format_args!("Invalid port `{text}'")))
}

pub fn address(text: &str) -> Outcome<IpAddr> {
    text.parse().map_err(|_| Failure::usage(format_args!("Invalid IP address `{text}'")))
}

/// An address and the length after a slash.
pub fn network(text: &str) -> Outcome<(IpAddr, Option<u8>)> {
    if let Ok(address) = text.parse() {
        return Ok((address, None));
    }
    let Some((before, length)) = text.split_once('/') else { return Ok((address(text)?, None)) };
    let address = address(before)?;
    let width = width(address);
    let is_number = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    let parsed = length.parse().ok().filter(|length| is_number && *length <= width);
    parsed.map(|length| (address, Some(length))).ok_or_else(|| Failure::usage("Invalid netmask"))
}

/// The length of a prefix that contains one host.
pub const fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// An address without a length.
pub fn host(option: &str, text: &str) -> Outcome<IpAddr> {
    match address(text) {
        Err(_) if text.contains('/') => Err(Failure::usage(format_args!("CIDR notation unavailable for `--{option}'"))),
        other => other,
    }
}

/// The network of an address under a mask of leading bits.
pub fn masked(address: IpAddr, mask: IpAddr) -> Outcome<Prefix> {
    let (bits, width) = match mask {
        IpAddr::V4(mask) => (u128::from(mask.to_bits()) << 96, 32),
        IpAddr::V6(mask) => (mask.to_bits(), 128),
    };
    let length = bits.leading_ones();
    if length + bits.trailing_zeros().min(128 - length) != 128 {
        return Err(Failure::usage("Invalid netmask: the bits of a mask must be its first"));
    }
    Prefix::new(address, length.min(width) as u8).map_err(Failure::usage)
}

/// The mask of a prefix length.
pub fn mask(address: IpAddr, length: u8) -> IpAddr {
    let ones = match address {
        IpAddr::V4(_) => std::net::Ipv4Addr::BROADCAST.into(),
        IpAddr::V6(_) => Ipv6Addr::from_bits(u128::MAX).into(),
    };
    Prefix::new(ones, length).map_or(ones, |prefix| prefix.address())
}

/// A NAT target: `ADDRESS`, `ADDRESS:PORT` or `[ADDRESS]:PORT`.
pub fn endpoint(text: &str) -> Outcome<(IpAddr, Option<u16>)> {
    let with_port = |address_text: &str, port_text: &str| match port_text {
        "" => Err(Failure::usage("No port specified after `:'")),
        port_text => Ok((address(address_text)?, Some(port(port_text)?))),
    };
    if let Some(rest) = text.strip_prefix('[') {
        let Some((inside, behind)) = rest.split_once(']') else {
            return Err(Failure::usage("No closing ']' around IPv6 address"));
        };
        return match behind.strip_prefix(':') {
            _ if inside.is_empty() => Err(Failure::usage("No IPv6 address specified")),
            Some(port_text) => with_port(inside, port_text),
            // Brackets without a port are refused, as conntrack(8) does.
            None => Err(Failure::usage(format_args!("Invalid IP address `{text}'"))),
        };
    }
    match text.split_once(':') {
        // An address with more than one colon is IPv6.
        Some((before, behind)) if !behind.contains(':') => with_port(before, behind),
        _ => Ok((address(text)?, None)),
    }
}

/// The value of the option `letter`. A value that is not a number ends the command with status 1, as in 1.4.9, where
/// [`number`] ends it with 2.
pub fn value<T: TryFrom<u64>>(letter: char, text: &str) -> Outcome<T> {
    number("number", text).map_err(|_| unexpected(letter, text))
}

/// A mark and its mask: `MARK` or `MARK/MASK`.
pub fn mark(text: &str) -> Outcome<(u32, u32)> {
    let (mark, mask) = match text.split_once('/') {
        Some((mark, mask)) => (number("mark", mark), number("mask", mask)),
        None => (number("mark", text), Ok(u32::MAX)),
    };
    mark.and_then(|mark| Ok((mark, mask?))).map_err(|_| unexpected('m', text))
}

fn unexpected(letter: char, text: &str) -> Failure {
    Failure::failed(format_args!("unexpected value '{text}' with -{letter} option"))
}

/// A verification tag of SCTP as conntrack(8) writes it: the bytes of the tag, read as a number of this machine.
///
/// On a little-endian machine the tag 0x12345678 is written 0x78563412, here and by [`Save`](ctnetlink::format::Save).
pub fn tag(text: &str) -> Outcome<u32> {
    number("tag", text).map(|tag: u32| u32::from_ne_bytes(tag.to_be_bytes()))
}

pub fn family(text: &str) -> Outcome<Family> {
    match text {
        "ipv4" => Ok(Family::IPV4),
        "ipv6" => Ok(Family::IPV6),
        other => Err(Failure::usage(format_args!("`{other}' unsupported protocol"))),
    }
}

/// A protocol by name in any case, by number, or by a name of protocols(5).
pub fn protocol(text: &str) -> Outcome<Protocol> {
    let by_number = || number("protocol", text).ok().map(Protocol);
    let by_name = || fs::read_to_string("/etc/protocols").ok().and_then(|file| find(&file, text));
    // Numbers may be octal or hexadecimal, as everywhere.
    let is_number = text.starts_with(|first: char| first.is_ascii_digit());
    let known = if is_number { by_number() } else { text.parse().ok() };
    let known = known.or_else(by_name);
    known.ok_or_else(|| Failure::usage(format_args!("`{text}' unsupported protocol")))
}

fn find(protocols: &str, name: &str) -> Option<Protocol> {
    protocols.lines().find_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        let (first, number) = (words.next()?, words.next()?);
        let is_named = first == name || words.any(|alias| alias == name);
        is_named.then(|| number.parse().ok().map(Protocol)).flatten()
    })
}

/// A state of the protocol, spelled as in conntrack(8).
pub fn state(protocol: Protocol, text: &str) -> Outcome<ProtocolInfo> {
    let (info, name) = match protocol {
        Protocol::TCP => {
            let text = if text == "LISTEN" { "SYN_SENT2" } else { text };
            (find_state(TcpState::NAMED, text).map(|state| ctnetlink::TcpInfo::new(state).into()), "TCP")
        }
        Protocol::SCTP => {
            (find_state(SctpState::NAMED, text).map(|state| ctnetlink::SctpInfo::new(state, 0, 0).into()), "SCTP")
        }
        _ => {
            let info = |state| ctnetlink::DccpInfo::new(state, DccpRole::CLIENT, 0).into();
            (find_state(DccpState::NAMED, text).map(info), "DCCP")
        }
    };
    info.ok_or_else(|| Failure::usage(format_args!("unknown {name} state `{text}'")))
}

fn find_state<T: Copy>(named: &[(T, &str)], text: &str) -> Option<T> {
    named.iter().find(|(_, name)| *name == text).map(|(state, _)| *state)
}

pub fn role(text: &str) -> Outcome<DccpRole> {
    let role = DccpRole::NAMED.iter().find(|(_, name)| *name == text).map(|(role, _)| *role);
    role.ok_or_else(|| Failure::usage(format_args!("Unknown DCCP role `{text}'")))
}

/// Status bits that must be set, and bits that must not.
#[derive(Clone, Copy, Debug, Default)]
pub struct StatusWords {
    pub set: Status,
    pub unset: Status,
}

impl StatusWords {
    /// Combines two options.
    pub fn and(self, other: Self) -> Self {
        Self { set: self.set | other.set, unset: self.unset | other.unset }
    }

    /// The bits that `UNSET` excludes: all bits that have a name.
    const NAMED: Status = Status::ASSURED
        .union(Status::SEEN_REPLY)
        .union(Status::FIXED_TIMEOUT)
        .union(Status::EXPECTED)
        .union(Status::OFFLOAD)
        .union(Status::HW_OFFLOAD);

    /// Reads words separated by commas, in any case, and abbreviated to any length. `!` before a word negates it.
    pub fn parse(text: &str) -> Outcome<Self> {
        text.split(',').try_fold(Self::default(), |words, word| {
            let (is_negated, name) = match word.strip_prefix('!') {
                Some(name) => (true, name),
                None => (false, word),
            };
            let Some(mut found) = one_word(name) else { return Err(bad_parameter(word)) };
            if is_negated {
                if found.set.is_empty() {
                    return Err(bad_parameter(word));
                }
                found = Self { set: Status::empty(), unset: found.set };
            }
            Ok(words.and(found))
        })
    }
}

fn one_word(word: &str) -> Option<StatusWords> {
    const fn set(set: Status) -> StatusWords {
        StatusWords { set, unset: Status::empty() }
    }
    const WORDS: &[(&str, StatusWords)] = &[
        ("ASSURED", set(Status::ASSURED)),
        ("SEEN_REPLY", set(Status::SEEN_REPLY)),
        ("UNSET", StatusWords { set: Status::empty(), unset: StatusWords::NAMED }),
        ("FIXED_TIMEOUT", set(Status::FIXED_TIMEOUT)),
        ("EXPECTED", set(Status::EXPECTED)),
        ("OFFLOAD", set(Status::OFFLOAD)),
        ("HW_OFFLOAD", set(Status::HW_OFFLOAD)),
        ("SRC_NAT", set(Status::SRC_NAT)),
        ("DST_NAT", set(Status::DST_NAT)),
        ("UNREPLIED", StatusWords { set: Status::empty(), unset: Status::SEEN_REPLY }),
    ];
    WORDS.iter().find(|(name, _)| begins(name, word)).map(|(_, words)| *words)
}

/// Words of a table separated by commas, in any case, and abbreviated to any length.
pub fn words<T: Copy>(table: &[(&str, T)], text: &str) -> Outcome<Vec<T>> {
    let one = |word| table.iter().find(|(name, _)| begins(name, word)).map(|(_, value)| *value);
    text.split(',').map(|word| one(word).ok_or_else(|| bad_parameter(word))).collect()
}

fn begins(name: &str, word: &str) -> bool {
    !word.is_empty() && name.get(..word.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(word))
}

/// Whether `--explain` probes the kernel.
pub fn explanation(text: &str) -> Outcome<bool> {
    if text == "probe" { Ok(true) } else { Err(bad_parameter(text)) }
}

fn bad_parameter(word: &str) -> Failure {
    Failure::usage(format_args!("Bad parameter `{word}'"))
}
