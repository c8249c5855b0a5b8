//! Plain readers of the formats, written independently of the printers.

pub(crate) mod save;
pub(crate) mod text;
pub(crate) mod xml;

use ctnetlink::{DccpInfo, GreKeys, Layer4, Protocol, ProtocolInfo, SctpInfo, TcpInfo};

/// The state with this name.
pub(crate) fn state(protocol: Protocol, name: &str) -> ProtocolInfo {
    match protocol {
        Protocol::TCP => TcpInfo::new(name.parse().unwrap()).into(),
        Protocol::SCTP => {
            let mut info = SctpInfo::default();
            info.state = Some(name.parse().unwrap());
            info.into()
        }
        Protocol::DCCP => {
            let mut info = DccpInfo::default();
            info.state = Some(name.parse().unwrap());
            info.into()
        }
        other => panic!("a state of {other}"),
    }
}

/// The part of the protocol information that a format contains.
pub(crate) fn state_alone(protocol: Protocol, info: Option<ProtocolInfo>) -> Option<ProtocolInfo> {
    Some(state(protocol, &info?.state()?.to_string()))
}

/// The numbers of a tuple, by their names in text and XML.
pub(crate) fn layer4(protocol: Protocol, mut number: impl FnMut(&str) -> u16) -> Layer4 {
    match protocol {
        Protocol::GRE => Layer4::Gre(GreKeys { source: number("srckey"), destination: number("dstkey") }),
        protocol if protocol.has_ports() => Layer4::Ports { source: number("sport"), destination: number("dport") },
        protocol if protocol.is_icmp() => {
            let (icmp_type, code, id) = (number("type"), number("code"), number("id"));
            Layer4::Icmp { icmp_type: icmp_type.try_into().unwrap(), code: code.try_into().unwrap(), id }
        }
        _ => Layer4::None,
    }
}

/// A decimal number, or a hexadecimal number after `0x`.
pub(crate) fn number(text: &str) -> u16 {
    text.strip_prefix("0x").map_or_else(|| text.parse().unwrap(), |digits| u16::from_str_radix(digits, 16).unwrap())
}
