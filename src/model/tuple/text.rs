//! Tuples and endpoints as text, in the syntax of the filter language.

use core::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use super::{Endpoint, Layer4, Tuple};
use crate::{error::ParseError, macros::pad_if_asked, model::Protocol};

/// Returns the name of the part that every tuple of the protocol has beside its addresses.
pub(crate) const fn layer4_name(protocol: Protocol) -> Option<&'static str> {
    match protocol {
        Protocol::TCP | Protocol::UDP | Protocol::UDPLITE | Protocol::SCTP => Some("ports"),
        Protocol::GRE => Some("keys"),
        Protocol::ICMP | Protocol::ICMPV6 => Some("type/code/id"),
        _ => None,
    }
}

/// Reads `type/code/id`.
pub(crate) fn parse_query(word: &str) -> Option<Layer4> {
    let (icmp_type, rest) = word.split_once('/')?;
    let (code, id) = rest.split_once('/')?;
    Some(Layer4::Icmp { icmp_type: number(icmp_type)?, code: number(code)?, id: number(id)? })
}

/// Reads digits only: `FromStr` of integers accepts a plus sign.
fn number<T: FromStr>(text: &str) -> Option<T> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

impl fmt::Display for Tuple {
    /// Prints `tcp 10.0.0.1:40000 10.0.0.2:22`, `icmp 10.0.0.1 10.0.0.2 8/0/77` (type, code, identifier) or
    /// `50 10.0.0.1 10.0.0.2`; and ` zone 7` after it if the direction has a zone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        pad_if_asked!(self, f);
        write!(f, "{} {} {}", self.protocol, self.source_endpoint(), self.destination_endpoint())?;
        match self.layer4 {
            Layer4::Icmp { icmp_type, code, id } => write!(f, " {icmp_type}/{code}/{id}")?,
            // Without this word the text would ask for the missing part.
            Layer4::None if layer4_name(self.protocol).is_some() => f.write_str(" none")?,
            _ => {}
        }
        match self.zone {
            Some(zone) => write!(f, " zone {zone}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Tuple {
    type Err = ParseError;

    /// Reads the form that [`Display`](fmt::Display) prints. Both addresses must be of one family.
    ///
    /// # Errors
    ///
    /// The error names the first word that is not as expected.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut words = text.split_ascii_whitespace();
        let mut next = || words.next().unwrap_or_default();
        let protocol: Protocol = next().parse()?;
        let source: Endpoint = next().parse()?;
        let word = next();
        let destination: Endpoint = word.parse()?;
        if source.address.is_ipv4() != destination.address.is_ipv4() {
            return Err(ParseError::new("an address of the same family as the source", word));
        }
        let mut words = words.peekable();
        let layer4 = match (source.port, destination.port) {
            (Some(source), Some(destination)) => Layer4::pair(protocol, source, destination),
            (None, None) => match (words.peek().copied(), layer4_name(protocol)) {
                (Some("none"), Some(_)) => {
                    words.next();
                    Layer4::None
                }
                (Some(word), _) if parse_query(word).is_some() => {
                    words.next().and_then(parse_query).unwrap_or_default()
                }
                (word, Some("ports")) => return Err(ParseError::new("ports, or `none`", word.unwrap_or_default())),
                (word, Some("keys")) => return Err(ParseError::new("keys, or `none`", word.unwrap_or_default())),
                (word, Some(_)) => return Err(ParseError::new("type/code/id, or `none`", word.unwrap_or_default())),
                (_, None) => Layer4::None,
            },
            _ => return Err(ParseError::new("ports of both endpoints, or of neither", word)),
        };
        let zone = match words.next() {
            None => None,
            Some("zone") => {
                let word = words.next().unwrap_or_default();
                Some(number(word).ok_or_else(|| ParseError::new("a zone from 0 to 65535", word))?)
            }
            Some(word) => return Err(ParseError::new("`zone` or the end of the tuple", word)),
        };
        match words.next() {
            None => Ok(Self { source: source.address, destination: destination.address, protocol, layer4, zone }),
            Some(word) => Err(ParseError::new("the end of the tuple", word)),
        }
    }
}

impl fmt::Display for Endpoint {
    /// Prints `192.0.2.1:80`, `[2001:db8::1]:80`, or only the address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => SocketAddr::new(self.address, port).fmt(f),
            None => self.address.fmt(f),
        }
    }
}

impl FromStr for Endpoint {
    type Err = ParseError;

    /// Reads an address with or without a port. An IPv6 address with a scope (`%eth0`) is an error.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let has_scope = |end: &SocketAddr| matches!(end, SocketAddr::V6(end) if end.scope_id() != 0);
        let address = || text.parse().ok().map(|address: IpAddr| Self { address, port: None });
        let socket = || text.parse().ok().filter(|end| !has_scope(end));
        let with_port = |end: SocketAddr| Self { address: end.ip(), port: Some(end.port()) };
        address()
            .or_else(|| socket().map(with_port))
            .ok_or_else(|| ParseError::new("an address, with or without a port", text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tuple_text_reads_back() {
        for text in [
            "tcp 10.0.0.1:40000 10.0.0.2:22",
            "udp [2001:db8::1]:5353 [2001:db8::2]:53",
            "gre 10.0.0.1:1 10.0.0.2:2",
            "icmp 10.0.0.1 10.0.0.2 8/0/77",
            "icmpv6 fd00::1 fd00::2 128/0/65535",
            "50 10.0.0.1 10.0.0.2",
            "sctp 10.0.0.1 10.0.0.2 none",
            "udp 10.0.0.1:1 10.0.0.2:2 zone 7",
            "50 ::1 ::2 zone 0",
        ] {
            let tuple: Tuple = text.parse().unwrap();
            assert_eq!(tuple.to_string(), text);
        }
    }

    #[test]
    fn tuple_errors_name_the_word() {
        for (text, message) in [
            ("", "expected a protocol, found nothing"),
            ("tpc 10.0.0.1:1 10.0.0.2:2", "expected a protocol, found `tpc`"),
            ("tcp 10.0.0.1:1", "expected an address, with or without a port, found nothing"),
            ("tcp 10.0.0.1:1 [::1]:2", "expected an address of the same family as the source, found `[::1]:2`"),
            ("tcp 10.0.0.1:1 10.0.0.2", "expected ports of both endpoints, or of neither, found `10.0.0.2`"),
            ("tcp 10.0.0.1 10.0.0.2", "expected ports, or `none`, found nothing"),
            ("icmp 10.0.0.1 10.0.0.2 8/0/99999", "expected type/code/id, or `none`, found `8/0/99999`"),
            ("icmp 10.0.0.1 10.0.0.2 +8/0/9", "expected type/code/id, or `none`, found `+8/0/9`"),
            ("50 10.0.0.1 10.0.0.2 zone x", "expected a zone from 0 to 65535, found `x`"),
            ("50 10.0.0.1 10.0.0.2 x", "expected `zone` or the end of the tuple, found `x`"),
            ("50 10.0.0.1 10.0.0.2 zone 1 x", "expected the end of the tuple, found `x`"),
            ("udp [fe80::1%3]:1 [fe80::2]:2", "expected an address, with or without a port, found `[fe80::1%3]:1`"),
        ] {
            assert_eq!(text.parse::<Tuple>().unwrap_err().to_string(), message, "{text}");
        }
    }
}
