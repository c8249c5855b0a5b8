//! Printing a line as the kernel does.

use core::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

use super::Line;
use crate::model::{Counters, Family, GreKeys, Layer4, Status, Tuple};

impl fmt::Display for Line<'_> {
    /// Prints the values in the order and form of the kernel's file, without a line end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = self.layer3.unwrap_or(self.family);
        let layer3 = if matches!(family, Family::IPV4 | Family::IPV6) { family.name() } else { None };
        write!(f, "{:<8} {} ", layer3.unwrap_or("unknown"), family.0)?;
        write!(f, "{:<8} {}", Lossy(self.protocol_name), self.protocol.0)?;
        value(f, " ", self.timeout)?;
        value(f, " ", self.state.map(Lossy))?;
        if let Some(gre) = self.gre_timeouts {
            write!(f, " timeout={}, stream_timeout={}", gre.unreplied, gre.replied)?;
        }
        tuple(f, &self.original())?;
        value(f, " zone-orig=", self.zone_original)?;
        counters(f, self.counters_original)?;
        if !self.status.contains(Status::SEEN_REPLY) {
            f.write_str(" [UNREPLIED]")?;
        }
        tuple(f, &self.reply())?;
        value(f, " zone-reply=", self.zone_reply)?;
        counters(f, self.counters_reply)?;
        f.write_str(last_flag(self.status))?;
        value(f, " mark=", self.mark)?;
        value(f, " secmark=", self.secmark)?;
        value(f, " secctx=", self.security_context.map(Lossy))?;
        value(f, " zone=", self.zone)?;
        value(f, " delta-time=", self.delta_time)?;
        value(f, " use=", self.use_count)
    }
}

fn value(f: &mut fmt::Formatter<'_>, key: &str, value: Option<impl fmt::Display>) -> fmt::Result {
    match value {
        Some(value) => write!(f, "{key}{value}"),
        None => Ok(()),
    }
}

/// The kernel prints only the first of these bits that is set.
const fn last_flag(status: Status) -> &'static str {
    if status.contains(Status::HW_OFFLOAD) {
        " [HW_OFFLOAD]"
    } else if status.contains(Status::OFFLOAD) {
        " [OFFLOAD]"
    } else if status.contains(Status::ASSURED) {
        " [ASSURED]"
    } else {
        ""
    }
}

fn counters(f: &mut fmt::Formatter<'_>, counters: Option<Counters>) -> fmt::Result {
    match counters {
        Some(Counters { packets, bytes }) => write!(f, " packets={packets} bytes={bytes}"),
        None => Ok(()),
    }
}

/// Prints ` src=… dst=…`, and the ports, keys or query.
pub(super) fn tuple(f: &mut fmt::Formatter<'_>, tuple: &Tuple) -> fmt::Result {
    write!(f, " src={} dst={}", Full(tuple.source), Full(tuple.destination))?;
    match tuple.layer4 {
        Layer4::None => Ok(()),
        Layer4::Ports { source, destination } => write!(f, " sport={source} dport={destination}"),
        Layer4::Gre(GreKeys { source, destination }) => write!(f, " srckey={source:#x} dstkey={destination:#x}"),
        Layer4::Icmp { icmp_type, code, id } => write!(f, " type={icmp_type} code={code} id={id}"),
    }
}

/// An address with all its digits, in the form of the kernel's `%pI4` and `%pI6`.
struct Full(IpAddr);

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => address.fmt(f),
            IpAddr::V6(address) => full(f, address),
        }
    }
}

fn full(f: &mut fmt::Formatter<'_>, address: Ipv6Addr) -> fmt::Result {
    let [a, b, c, d, e, g, h, i] = address.segments();
    write!(f, "{a:04x}:{b:04x}:{c:04x}:{d:04x}:{e:04x}:{g:04x}:{h:04x}:{i:04x}")
}

/// Bytes of the line as text. A [`fmt::Formatter`] accepts only UTF-8, so other bytes are replaced.
pub(super) struct Lossy<'a>(pub(super) &'a [u8]);

impl fmt::Display for Lossy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&String::from_utf8_lossy(self.0))
    }
}
